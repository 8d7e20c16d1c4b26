cimport cython

from kernbench.engine.reference.calendar cimport Calendar
from kernbench.engine.reference.channel cimport Chunk, Fabric, VcQueue
from kernbench.engine.reference.server cimport Server
from kernbench.messages.fabric cimport Transaction


cdef class MemoryModel:
    cdef public object model
    cdef public long long latency_ps
    cpdef (long long, long long) serve(self, transaction, long long head_ps, long long tail_ps, long long size_bytes)


cdef class SteadyMemory(MemoryModel):
    cdef public Server server


cdef class MemoryServer:
    cdef readonly Calendar calendar
    cdef readonly Fabric fabric
    cdef readonly MemoryModel model
    cdef readonly long long node, rank
    cdef public long long entries_left, moved_bytes, busy_ps
    cdef public bint is_refusing

    @cython.locals(transaction=Transaction)
    cpdef bint receive(self, Chunk chunk) except -1
    @cython.locals(
        now_ps="long long", fabric=Fabric, chunks=list, chunk=Chunk, source=VcQueue, path=tuple, done_bytes="long long",
        share="long long", start_ps="long long", end_ps="long long", tail_ps="long long", requester="long long",
    )
    cdef _read(self, Transaction transaction)
    @cython.locals(done_bytes="long long", share="long long", end_ps="long long")
    cdef _write(self, Transaction transaction, Chunk chunk)
    @cython.locals(start_ps="long long", end_ps="long long")
    cdef (long long, long long) _serve(
        self, Transaction transaction, long long head_ps, long long tail_ps, long long size_bytes
    )
    cpdef free_entry(self, _)


@cython.locals(burst="long long", size="long long")
cdef long long _share(Transaction transaction, long long done_bytes, long long payload_bytes) except? -1
