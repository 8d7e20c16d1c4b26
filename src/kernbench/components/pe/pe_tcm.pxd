from kernbench.components.base cimport Component
from kernbench.engine.reference cimport server


cdef class PeTcm(Component):
    cdef readonly long long latency_ps
    cdef readonly server.Server read_port, write_port

    cpdef long long read(self, long long size_bytes, long long head_ps, long long tail_ps) except? -1
    cpdef long long write(self, long long size_bytes, long long head_ps, long long tail_ps) except? -1
