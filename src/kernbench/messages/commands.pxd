cdef class Operand:
    cdef public object access, address, dtype, n_elem, shape, size_bytes, space, value, version

cdef class Command:
    cdef public tuple depends, operands, releases
    cdef public object awaits, epoch, inherits, line, program, seq, tcm_bytes
    cdef public Operand result, target

    cdef _set(self, tuple operands, Operand result, Operand target=*, tuple depends=*, awaits=*)

cdef class DmaReadCmd(Command):
    cdef public object fill, is_volatile

cdef class DmaWriteCmd(Command): pass

cdef class GemmCmd(Command):
    cdef public object acc, k, m, n

cdef class MathCmd(Command):
    cdef public object attrs, op, visits

cdef class IpcqSendCmd(Command):
    cdef public object queue

cdef class IpcqRecvCmd(Command):
    cdef public object is_copied, queue

cdef class WaitCmd(Command): pass
