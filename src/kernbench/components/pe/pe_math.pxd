from kernbench.components.pipeline cimport ComputeUnit


cdef class PeMath(ComputeUnit):
    cdef dict _weights
