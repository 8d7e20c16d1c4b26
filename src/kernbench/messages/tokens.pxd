cimport cython

from kernbench.messages.oplog cimport Row


cdef class Stage:
    cdef readonly object access, kind, size_bytes, tcm_bytes, work
    cdef readonly bint is_followed
    cdef readonly dict visits


cdef class TilePlan:
    cdef readonly object k, m, n
    cdef readonly tuple stages


cdef class PipelinePlan:
    cdef readonly tuple after, behind, tiles
    cdef readonly object command
    cdef readonly long long need_bytes, staging_bytes, written_bytes


cdef class PipelineContext:
    cdef public Row cause, freed_by, record
    cdef public object command, staging, unwritten_bytes
    cdef public long long commit_ps, n_left, n_tiles, pe, start_ps

    cpdef bint finish_tile(self)


cdef class TileToken:
    cdef public long long arrived_ps, asked_ps, index
    cdef public Py_ssize_t at
    cdef public Row cause
    cdef public PipelineContext context
    cdef public object parcel
    cdef readonly TilePlan plan
    cdef public Stage stage

    @cython.locals(at=Py_ssize_t, stages=tuple)
    cpdef advance(self)
