from kernbench.components.pipeline cimport TcmUnit
from kernbench.components.transfer cimport Channel, Transfer
from kernbench.engine.reference.channel cimport Chunk as Chunk_t
from kernbench.messages.fabric cimport Transaction
from kernbench.messages.oplog cimport Row


cdef class PeDma(TcmUnit):
    cdef public Channel rd, wr
    cdef public object comm

    cpdef bint land(self, Chunk_t chunk) except -1
    cdef _release(self, Transfer transfer, Row record)
    cpdef landed(self, Transaction transaction)
    cdef _read(self, Transfer descriptor, Transaction transaction)
    cdef _write(self, Transfer descriptor, Transaction transaction)
    cdef _fill(self, Transfer descriptor)
    cdef _post(self, Chunk_t chunk, Transaction transaction, long long tail_ps, long long serial_ps)
