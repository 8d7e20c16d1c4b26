cimport cython

from kernbench.components.accumulators cimport AccumulatorFile
from kernbench.components.pipeline cimport StationUnit
from kernbench.components.scoreboard cimport Flight, Scoreboard
from kernbench.components.stream cimport Issued
from kernbench.engine.reference.queue cimport Queue as Queue_t, Credits as Credits_t
from kernbench.messages.oplog cimport Row
from kernbench.messages.tokens cimport PipelineContext, PipelinePlan, TileToken


cdef class Lane:
    cdef public Row cause
    cdef public Queue_t flights
    cdef public bint is_behind
    cdef public Credits_t places
    cdef public Flight streaming
    cdef public long long turned_ps


cdef class PeScheduler(StationUnit):
    cdef public Scoreboard scoreboard
    cdef public AccumulatorFile accumulators
    cdef public Credits_t tcm
    cdef public dict lanes
    cdef public Row freed_by
    cdef public long long freed_ps
    cdef object _ends
    cdef long long _dispatch_ps
    cdef Row _cause

    cdef Flight _begin(self, Issued ticket)
    @cython.locals(now_ps="long long", record=Row, lane=Lane)
    cdef _hand_on(self, Issued ticket, Flight flight)
    cdef Lane _lane_of(self, command)
    @cython.locals(plan=PipelinePlan, context=PipelineContext, flight=Flight)
    cdef Flight _admit(self, command)
    cdef Row _log(self, Issued ticket, long long start_ps, Row cause)
    cdef _start(self, Lane lane, Flight flight)
    cdef bint _try_feed(self, Lane lane, TileToken token) except -1
    cdef Flight _blocker(self, Lane lane, Flight flight)
    @cython.locals(flight=Flight)
    cpdef complete(self, PipelineContext context)
