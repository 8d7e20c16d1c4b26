cimport cython

from kernbench.engine.reference.containers cimport Heap


cdef class Event:
    cpdef happen(self)


cdef class Call(Event):
    cdef readonly object call, argument


cdef class Process(Event):
    cdef readonly str name
    cdef readonly long long rank
    cdef readonly object send
    cdef object value
    cdef Process behind


cdef class Calendar:
    cdef public long long now_ps, events, limit_ps
    cdef readonly Heap entries
    cdef Process first_woken, last_woken
    cdef public set processes
    cdef public object over_limit
    cdef long long _ranks
    cdef object _tie_seed

    cpdef at(self, time_ps, long long rank, call, argument)
    cpdef wake(self, Process process, value)
    @cython.locals(entries=Heap, events="long long", limit_ps="long long", event=Event, process=Process,
                   wait=Wait, delay_ps="long long")
    cdef _run(self, Signal until)


cdef long long NO_LIMIT_PS


cdef class Wait:
    cpdef object wait(self, Process process)


cdef class Signal(Wait):
    cdef public Calendar calendar
    cdef public bint is_fired
    cdef public object value
    cdef public list waiters

    @cython.locals(process=Process)
    cpdef fire(self, value=*)
    cpdef wait(self, Process process)
