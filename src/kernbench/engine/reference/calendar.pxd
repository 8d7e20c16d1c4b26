cimport cython

from kernbench.engine.reference.heap cimport Heap


cdef class Process:
    cdef readonly str name
    cdef readonly long long rank
    cdef readonly object send


cdef class Calendar:
    cdef public long long now_ps
    cdef public long long count
    cdef public long long events
    cdef readonly Heap entries
    cdef public object wakes
    cdef public set processes
    cdef public long long limit_ps
    cdef public object over_limit
    cdef long long _ranks
    cdef object _tie_seed

    cpdef new_rank(self)
    cpdef port_rank(self, port)
    cdef _permuted(self, rank)
    cpdef Process process(self, body, str name)
    cpdef at(self, long long time_ps, long long rank, call, argument)
    cpdef wake(self, Process process, value)
    cpdef run(self, Signal until=*)
    @cython.locals(entries=Heap, events="long long", limit_ps="long long", process=Process)
    cdef _run(self, Signal until)
    cpdef run_until(self, Signal signal, parked)


cdef class Signal:
    cdef public Calendar calendar
    cdef public bint is_fired
    cdef public object value
    cdef public list waiters

    @cython.locals(process=Process)
    cpdef fire(self, value=*)
    cpdef wait(self, Process process)
