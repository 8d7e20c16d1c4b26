cimport cython

from kernbench.components.pipeline cimport TcmUnit
from kernbench.engine.reference cimport queue
from kernbench.messages.oplog cimport Row
from kernbench.messages.tokens cimport Stage, TileToken


cdef class PeFetchStore(TcmUnit):
    cdef public queue.Credits operands
    cdef public queue.Queue ready
    cdef public Row freed_by
    cdef dict _lags_ps

    cpdef queue.Queue entry(self, TileToken token)
    cpdef free_operands(self, Row record)
    @cython.locals(stage=Stage, now_ps="long long", start_ps="long long")
    cpdef busy_ps(self, TileToken token)
