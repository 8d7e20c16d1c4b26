from kernbench.messages.commands cimport Command, DmaReadCmd, GemmCmd, MathCmd, WaitCmd


cdef class Changes:
    cdef public long long n


cpdef bint is_change(Command command)


cdef class Polls:
    cdef Changes _changes
    cdef long long _length, _n_alike, _next, _seen, _start
    cdef set _reads
    cdef list _round
    cdef public object line
    cdef public long long n
    cdef public bint reads_again

    cpdef issued(self, Command command)
