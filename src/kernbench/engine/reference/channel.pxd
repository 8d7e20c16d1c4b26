cimport cython

from kernbench.engine.reference.calendar cimport Calendar, Event
from kernbench.engine.reference.containers cimport Releases


cdef long long N_VCS, N_KINDS


cdef class Chunk(Event):
    cdef public object kind, body, leaving
    cdef public long long payload_bytes, size_bytes, flits, ready_ps, departs_ps
    cdef public bint is_last
    cdef public tuple path
    cdef public Py_ssize_t hop
    cdef public Chunk behind

    @cython.locals(queue=VcQueue)
    cpdef happen(self)


cdef class Link:
    cdef public object edge, rate
    cdef public long long latency_ps, scale, per_byte, free_ps, free_part, size_bytes
    cdef public double slowness
    cdef public dict queues


cdef class VcQueue(Event):
    cdef public Calendar calendar
    cdef public Link link
    cdef public long long capacity, room, rank, sent, left, ask_ps
    cdef public Chunk head, tail
    cdef public Releases releases
    cdef public list waiters
    cdef public bint is_idle, is_waking, is_sink
    cdef public object receiver

    cdef append(self, Chunk chunk)
    cdef drop_head(self, Chunk head)
    @cython.locals(needed="long long", capacity="long long", left="long long", time_ps="long long", releases=Releases)
    cdef long long credit_ps(self, long long flits, long long now_ps) except? -2
    @cython.locals(chunk=Chunk, target=VcQueue, link=Link, now_ps="long long", credit_ps="long long")
    cpdef happen(self)
    @cython.locals(first=VcQueue)
    cdef retry(self)
    @cython.locals(
        calendar=Calendar, link=Link, feeder=Link, out=Link, start_ps="long long", head_ps="long long",
        end_ps="long long", hold_ps="long long", serial_in_ps="long long", tail_ps="long long", part="long long",
        spent="long long", size="long long", flits="long long", left="long long", hop=Py_ssize_t,
    )
    cdef _grant(self, Chunk chunk, VcQueue target)
    @cython.locals(chunk=Chunk, link=Link)
    cdef offer(self)
    @cython.locals(first=Chunk, credit_ps="long long")
    cdef _wake_waiter(self)
    @cython.locals(calendar=Calendar, time_ps="long long")
    cdef _schedule_retry(self, long long credit_ps)
    @cython.locals(ready_ps="long long", time_ps="long long")
    cdef schedule_ask(self, Chunk head)


cdef class Retry(Event):
    cdef VcQueue target


cdef class Fabric:
    cdef public Calendar engine
    cdef public object graph, route, pass_ps, receiver
    cdef public long long chunk_bytes, header_bytes, flit_bytes, chunk_hops
    cdef public dict vcs_per_class, links
    cdef long long _n_nodes
    cdef dict _paths, _queues, _sources, _credit_ps

    @cython.locals(chunks=list, header="long long", left="long long", payload="long long", size="long long", chunk=Chunk)
    cpdef list packet(self, kind, body, long long payload_bytes)
    cpdef post(self, chunk, long long src, long long dst, long long vc, long long tail_ps, long long serial_ps)
    @cython.locals(first=Link, serial_out="long long", ready="long long", now="long long")
    cdef launch(self, Chunk chunk, VcQueue source, tuple path, long long tail_ps, long long serial_ps)
    cpdef tuple path(self, long long src, long long dst, long long vc)
    cpdef VcQueue source(self, long long src, long long vc, long long kind)
    @cython.locals(queue=VcQueue)
    cpdef resume(self, node)
