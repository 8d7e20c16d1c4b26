from kernbench.lang.scratch cimport Scratch
from kernbench.messages.commands cimport Command

cdef class Issuer:
    cdef public object dead, elems_sent, is_open, port
    cdef public Command pending
    cdef public Scratch scratch

    cdef _send(self, Command command)
