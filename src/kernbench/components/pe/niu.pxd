from kernbench.components.base cimport Component
from kernbench.engine.reference.channel cimport Chunk as Chunk_t


cdef class Niu(Component):
    cpdef bint receive(self, Chunk_t chunk) except -1
