from kernbench.engine.reference.calendar cimport Calendar, Process, Signal


cdef class _Put:
    cdef readonly Queue queue
    cdef readonly object item
    cpdef object wait(self, Process process)


cdef class Queue:
    cdef public Calendar calendar
    cdef public object capacity
    cdef public str name
    cdef public object items
    cdef public list getters
    cdef public list putters
    cpdef Queue get(self)
    cpdef object wait(self, Process process)
    cpdef object put(self, object item)
    cpdef bint try_put(self, object item)


cdef class Credits:
    cdef public Calendar calendar
    cdef public long long total
    cdef public long long free
    cdef public str name
    cdef public list takers
    cpdef object resize(self, long long total)
    cpdef object take(self, long long n)
    cpdef bint try_take(self, long long n)
    cpdef object give(self, long long n)


cdef class _Take:
    cdef readonly Credits credits
    cdef readonly long long n
    cpdef object wait(self, Process process)
