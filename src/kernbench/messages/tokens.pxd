from kernbench.messages.oplog cimport Row


cdef class PipelineContext:
    cdef public Row cause
    cdef public object command
    cdef public long long commit_ps
    cdef public Row freed_by
    cdef public long long n_left
    cdef public long long n_tiles
    cdef public long long pe
    cdef public Row record
    cdef public object staging
    cdef public long long start_ps
    cdef public object unwritten_bytes

    cpdef bint finish_tile(self)


cdef class TileToken:
    cdef public long long arrived_ps
    cdef public long long asked_ps
    cdef public Py_ssize_t at
    cdef public Row cause
    cdef public PipelineContext context
    cdef public long long index
    cdef public object parcel
    cdef public object plan
    cdef public object stage

    cpdef advance(self)
