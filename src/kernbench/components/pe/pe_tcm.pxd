from kernbench.components.base cimport Component
from kernbench.engine.reference.server cimport Server as Server_t


cdef class PeTcm(Component):
    cdef readonly long long latency_ps
    cdef readonly Server_t read_port, write_port
