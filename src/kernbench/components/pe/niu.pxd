from kernbench.components.base cimport Component
from kernbench.engine.reference cimport channel


cdef class Niu(Component):
    cpdef bint receive(self, channel.Chunk chunk) except -1
    cdef _hand_on(self, message)
