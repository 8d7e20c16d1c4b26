cimport cython

from kernbench.messages.oplog cimport Row


cdef class Stage:
    cdef readonly object access
    cdef readonly bint is_followed
    cdef readonly object kind, size_bytes, tcm_bytes
    cdef readonly dict visits
    cdef readonly object work


cdef class TilePlan:
    cdef readonly object k, m, n
    cdef readonly tuple stages


cdef class PipelinePlan:
    cdef readonly tuple after, behind
    cdef readonly object command
    cdef readonly long long need_bytes, staging_bytes, written_bytes
    cdef readonly tuple tiles


cdef class PipelineContext:
    cdef public Row cause
    cdef public object command
    cdef public long long commit_ps
    cdef public Row freed_by
    cdef public long long n_left, n_tiles, pe
    cdef public Row record
    cdef public object staging
    cdef public long long start_ps
    cdef public object unwritten_bytes

    cpdef bint finish_tile(self)


cdef class TileToken:
    cdef public long long arrived_ps, asked_ps
    cdef public Py_ssize_t at
    cdef public Row cause
    cdef public PipelineContext context
    cdef public long long index
    cdef public object parcel
    cdef readonly TilePlan plan
    cdef public Stage stage

    @cython.locals(at=Py_ssize_t, stages=tuple)
    cpdef advance(self)
