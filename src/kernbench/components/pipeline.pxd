cimport cython

from kernbench.messages.oplog cimport Row
from kernbench.messages.tokens cimport PipelineContext, Stage, TileToken


cdef class Station:
    cdef public object meter
    cdef public long long free_ps
    cdef public Row last_record
    cdef long long _resting_from_ps

    @cython.locals(rest_ps="long long", stalled_ps="long long")
    cpdef begin(self, long long now_ps, came_ps=*, cause=*)
    cpdef free(self, long long now_ps, Row record)
    @cython.locals(start_ps="long long")
    cpdef worked(self, long long begin_ps, long long now_ps)
    cpdef settle(self, long long now_ps)
    cpdef Row cause(self, long long ready_ps, Row cause)


@cython.locals(now_ps="long long", commit_ps="long long", stage=Stage, context=PipelineContext, is_last=bint, record=Row)
cdef Row _log_stage(unit, TileToken token, Station station, long long start_ps, va, marks)
cdef bint _try_pass_on(unit, TileToken token, Row record) except -1
