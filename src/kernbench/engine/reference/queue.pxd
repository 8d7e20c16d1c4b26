from kernbench.engine.reference.calendar cimport Calendar, Process, Wait


cdef class _Put(Wait):
    cdef readonly Queue queue
    cdef readonly object item
    cpdef object wait(self, Process process)


cdef class Queue(Wait):
    cdef public Calendar calendar
    cdef public long long room
    cdef public str name
    cdef public object items, capacity
    cdef public list getters, putters
    cpdef Queue get(self)
    cpdef object wait(self, Process process)
    cpdef Wait put(self, object item)
    cpdef bint try_put(self, object item)


cdef class Credits:
    cdef public Calendar calendar
    cdef public long long total, free
    cdef public str name
    cdef public list takers
    cpdef Wait take(self, n)
    cpdef bint try_take(self, long long n)
    cpdef object give(self, long long n)


cdef class _Take(Wait):
    cdef readonly Credits credits
    cdef readonly long long n
    cpdef object wait(self, Process process)
