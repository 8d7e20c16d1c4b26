cimport cython

from kernbench.messages.commands cimport Command, DmaReadCmd, GemmCmd, MathCmd, WaitCmd


cdef class Changes:
    cdef public long long n


cpdef bint is_change(Command command)


cdef class Polls:
    cdef Changes _changes
    cdef long long _length, _n_alike, _next
    cdef set _reads
    cdef list _round
    cdef long long _seen, _start
    cdef public object line
    cdef public long long n
    cdef public bint reads_again

    cpdef forget(self)
    cdef _look_again_at(self, long long n)
    cpdef issued(self, Command command)
    cpdef ended(self)
    cpdef bint note(self, line, values)
    @cython.locals(since="long long")
    cdef _compare(self, seen)
