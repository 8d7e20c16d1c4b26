cimport cython

from kernbench.components.pipeline cimport Station
from kernbench.engine.reference.calendar cimport Signal as Signal_t
from kernbench.engine.reference.channel cimport Chunk as Chunk_t
from kernbench.engine.reference.engine cimport Engine as Engine_t
from kernbench.engine.reference.queue cimport Credits, Queue as Queue_t
from kernbench.messages.fabric cimport Transaction
from kernbench.messages.tokens cimport Stage, TileToken


cdef class Transfer:
    cdef public TileToken token
    cdef public Stage stage
    cdef public bint is_chained
    cdef public long long begin_ps, end_ps, left_bytes
    cdef public Transaction last
    cdef public Signal_t answered

    cpdef count(self, long long size_bytes, long long end_ps)
    @cython.locals(spent=list, begins=tuple, transaction=Transaction, left_ps="long long", begin_ps="long long", phase=int)
    cpdef marks(self, long long start_ps, long long now_ps)


cdef class Channel:
    cdef public object dma
    cdef public Engine_t engine
    cdef public Queue_t inbox, in_flight
    cdef public Credits window
    cdef public Station station
    cdef public long long n_open
    cdef readonly object on_answer

    @cython.locals(transaction=Transaction, transfer=Transfer, size_bytes="long long", end_ps="long long")
    cpdef answered(self, Chunk_t chunk)
