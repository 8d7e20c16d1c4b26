from kernbench.components.pipeline cimport ComputeUnit


cdef class PeGemm(ComputeUnit):
    cdef dict _busy_ps
