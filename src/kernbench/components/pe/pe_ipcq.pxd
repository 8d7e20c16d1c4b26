cimport cython

from kernbench.components.pipeline cimport PipelineUnit, Station
from kernbench.engine.reference.calendar cimport Signal as Signal_t
from kernbench.engine.reference.queue cimport Queue as Queue_t
from kernbench.messages.ipcq cimport IpcqDmaToken, QueueEnd
from kernbench.messages.oplog cimport Row
from kernbench.messages.tokens cimport PipelineContext, TileToken


cdef class QueueSide:
    cdef readonly Queue_t inbox
    cdef readonly Station station
    cdef public Signal_t changed
    cdef public object waiting
    cdef public long long moved_ps
    cdef public Row record


cdef class Rings:
    cdef readonly Queue_t arrived
    cdef readonly QueueSide recv, send
    cdef readonly object recv_ring, send_ring


cdef class PeIpcq(PipelineUnit):
    cdef readonly dict rings, _held

    @cython.locals(rings=Rings)
    cpdef Queue_t entry(self, TileToken token)
    @cython.locals(side=QueueSide, parcel=IpcqDmaToken, record=Row)
    cdef Row _give_slot(self, TileToken token, QueueEnd end, Rings rings, long long start_ps)
    @cython.locals(side=QueueSide, context=PipelineContext, now_ps="long long")
    cdef Row _match(self, TileToken token, IpcqDmaToken parcel, QueueEnd end, Rings rings, long long start_ps)
    @cython.locals(rings=Rings, side=QueueSide)
    cpdef credit(self, message)
    @cython.locals(rings=Rings)
    cpdef arrive(self, IpcqDmaToken parcel)
    cpdef free(self, QueueEnd end, number, Row record)
    cdef _tell(self, QueueEnd end, batch, Row record)
