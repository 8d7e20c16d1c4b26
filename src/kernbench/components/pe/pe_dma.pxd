from kernbench.components.pipeline cimport TcmUnit
from kernbench.components.transfer cimport Channel, Transfer
from kernbench.engine.reference.channel cimport Chunk as Chunk_t
from kernbench.messages.fabric cimport Transaction



cdef class PeDma(TcmUnit):
    cdef public Channel rd, wr
    cdef public object comm

    cdef _read(self, Transfer descriptor, Transaction transaction)
    cdef _write(self, Transfer descriptor, Transaction transaction)
    cdef _post(self, Chunk_t chunk, Transaction transaction, long long tail_ps, long long serial_ps)
