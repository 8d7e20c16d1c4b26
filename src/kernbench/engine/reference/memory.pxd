cimport cython

from kernbench.engine.reference.calendar cimport Calendar
from kernbench.engine.reference.channel cimport Chunk, Fabric


cdef class MemoryServer:
    cdef readonly Calendar calendar
    cdef readonly Fabric fabric
    cdef readonly object node, model
    cdef readonly long long rank
    cdef public long long entries_left, moved_bytes, busy_ps
    cdef public bint is_refusing

    cpdef bint receive(self, Chunk chunk) except -1
    @cython.locals(
        now_ps="long long", chunks=list, chunk=Chunk, done_bytes="long long", share="long long", start_ps="long long",
        end_ps="long long", tail_ps="long long",
    )
    cdef _read(self, transaction)
    @cython.locals(done_bytes="long long", share="long long", end_ps="long long")
    cdef _write(self, transaction, Chunk chunk)
    @cython.locals(start_ps="long long", end_ps="long long")
    cdef tuple _serve(self, transaction, long long head_ps, long long tail_ps, long long size_bytes)
    cpdef _land(self, transaction)
    cpdef _release_entry(self, Chunk _)


@cython.locals(burst="long long", size="long long")
cdef long long _share(transaction, long long done_bytes, long long payload_bytes) except? -1
