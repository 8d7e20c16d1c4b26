from kernbench.components.base cimport Component
from kernbench.components.pipeline cimport Station
from kernbench.engine.reference.queue cimport Credits


cdef class PeMmu(Component):
    cdef public object answers, table
    cdef public Station station
    cdef public Credits walker
    cdef public long long n_hits, n_misses, n_walks
    cdef readonly dict _held

    cdef bint _use(self, page) except -1
