cimport cython

from kernbench.components.base cimport Component
from kernbench.components.meter cimport Meter
from kernbench.messages.oplog cimport Row
from kernbench.messages.tokens cimport PipelineContext, Stage, TileToken


cdef class Station:
    cdef public Meter meter
    cdef public long long free_ps
    cdef public Row last_record
    cdef long long _resting_from_ps

    @cython.locals(rest_ps="long long", stalled_ps="long long")
    cpdef begin(self, long long now_ps, long long came_ps=*, str cause=*)
    cpdef free(self, long long now_ps, Row record)
    cpdef Row cause(self, long long ready_ps, Row cause)


cdef class StationUnit(Component):
    cdef public Station station
    cdef public dict unit_at


cdef class PipelineUnit(StationUnit):
    cdef public object codes

    @cython.locals(now_ps="long long", commit_ps="long long", stage=Stage, context=PipelineContext, is_last=bint)
    cpdef Row log_stage(self, TileToken token, Station station, long long start_ps, va=*, tuple marks=*)
    cpdef bint try_pass_on(self, TileToken token, Row record) except -1
    @cython.locals(now_ps="long long")
    cpdef commit(self, PipelineContext context)


cdef class TcmUnit(PipelineUnit):
    pass


cdef class ComputeUnit(PipelineUnit):
    cdef object _begin(self, TileToken token)
    @cython.locals(record=Row)
    cdef bint _end(self, TileToken token, long long busy_ps) except -1

