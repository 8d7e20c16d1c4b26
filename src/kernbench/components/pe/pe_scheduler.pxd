cimport cython

from kernbench.components.accumulators cimport AccumulatorFile
from kernbench.components.pipeline cimport StationUnit
from kernbench.components.scoreboard cimport Flight, Scoreboard
from kernbench.engine.reference cimport queue
from kernbench.messages.oplog cimport Row
from kernbench.messages.tokens cimport PipelineContext, PipelinePlan, TileToken


cdef class Lane:
    cdef public Row cause
    cdef public queue.Queue flights
    cdef public bint is_behind
    cdef public queue.Credits places
    cdef public Flight streaming
    cdef public long long turned_ps


cdef class PeScheduler(StationUnit):
    cdef public Scoreboard scoreboard
    cdef public AccumulatorFile accumulators
    cdef public queue.Credits tcm
    cdef public dict lanes
    cdef public Row freed_by
    cdef public long long freed_ps
    cdef object _ends

    cdef Lane _lane_of(self, command)
    @cython.locals(plan=PipelinePlan, context=PipelineContext, flight=Flight)
    cdef Flight _admit(self, command)
    cdef _check_capacity(self, PipelinePlan plan)
    cdef Row _log(self, ticket, long long start_ps, Row cause)
    cdef _release(self, versions, Row cause)
    cdef _free_slots(self, Row cause)
    cdef _give_back(self, Row cause)
    cdef Flight _blocker(self, Lane lane, Flight flight)
    @cython.locals(flight=Flight)
    cpdef complete(self, PipelineContext context)
