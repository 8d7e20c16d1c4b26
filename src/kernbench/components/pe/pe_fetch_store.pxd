cimport cython

from kernbench.components.pipeline cimport TcmUnit
from kernbench.engine.reference.queue cimport Queue as Queue_t, Credits as Credits_t
from kernbench.messages.oplog cimport Row
from kernbench.messages.tokens cimport Stage, TileToken


cdef class PeFetchStore(TcmUnit):
    cdef public Credits_t operands
    cdef public Queue_t ready
    cdef public Row freed_by
    cdef long long _setup_ps, _latency_ps
    cdef dict _read_lags_ps, _write_lags_ps

    cpdef Queue_t entry(self, TileToken token)
    @cython.locals(now_ps="long long")
    cdef _begin(self, TileToken token)
    @cython.locals(record=Row)
    cdef bint _end(self, TileToken token, long long busy_ps) except -1
    @cython.locals(stage=Stage, setup_ps="long long", latency_ps="long long", start_ps="long long", is_write=bint)
    cpdef busy_ps(self, TileToken token)
