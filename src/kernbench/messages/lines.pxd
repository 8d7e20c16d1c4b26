from kernbench.messages.commands cimport Command, DmaReadCmd, DmaWriteCmd, GemmCmd, MathCmd

cdef class PeLines:
    cdef public long long first, short_bytes
    cdef public list lines, ops
    cdef public set products

    cpdef note(self, Command command)
    cdef _op_of(self, Command command)
