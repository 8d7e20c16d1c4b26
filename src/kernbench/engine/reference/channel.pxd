cimport cython

from kernbench.engine.reference.calendar cimport Calendar


cdef class Chunk:
    cdef public object kind
    cdef public object body
    cdef public long long payload_bytes
    cdef public long long size_bytes
    cdef public long long flits
    cdef public bint is_last
    cdef public tuple path
    cdef public Py_ssize_t hop
    cdef public long long ready_ps
    cdef public long long departs_ps
    cdef public object leaving
    cdef public Chunk behind


cdef class Link:
    cdef public object edge
    cdef public long long latency_ps
    cdef public long long scale
    cdef public long long per_byte
    cdef public double slowness
    cdef public long long free_ps
    cdef public long long free_part
    cdef public long long size_bytes
    cdef public dict queues


cdef class VcQueue:
    cdef public Link link
    cdef public long long capacity
    cdef public long long room
    cdef public long long rank
    cdef public Chunk head
    cdef public Chunk tail
    cdef public long long sent
    cdef public long long left
    cdef public object releases
    cdef public list waiters
    cdef public bint is_idle
    cdef public bint is_waking
    cdef public bint is_sink
    cdef public long long ask_ps
    cdef public object receiver

    cpdef append(self, Chunk chunk)
    cpdef drop_head(self, Chunk head)
    @cython.locals(needed="long long", capacity="long long", left="long long", time_ps="long long")
    cpdef credit_ps(self, long long flits, long long now_ps)


cdef class Fabric:
    cdef public Calendar engine
    cdef public object graph
    cdef public object route
    cdef public long long chunk_bytes
    cdef public long long header_bytes
    cdef public long long flit_bytes
    cdef public dict vcs_per_class
    cdef public object pass_ps
    cdef public object receiver
    cdef public dict links
    cdef public long long chunk_hops
    cdef object _asks
    cdef object _delivers
    cdef dict _paths
    cdef dict _queues
    cdef dict _sources
    cdef dict _credit_ps

    @cython.locals(chunks=list, header="long long", left="long long", payload="long long", size="long long")
    cpdef list packet(self, kind, body, long long payload_bytes)
    @cython.locals(path=tuple, first=Link, source=VcQueue, serial_out="long long", ready="long long", now="long long")
    cpdef post(self, chunk, src, dst, vc, long long tail_ps, long long serial_ps)
    @cython.locals(chunk=Chunk, target=VcQueue, link=Link, now="long long")
    cpdef _ask(self, VcQueue queue)
    @cython.locals(queue=VcQueue)
    cpdef _retry(self, VcQueue target)
    @cython.locals(
        engine=Calendar, link=Link, feeder=Link, out=Link, start_ps="long long", head_ps="long long",
        end_ps="long long", hold_ps="long long", serial_in_ps="long long", tail_ps="long long", part="long long",
        spent="long long", size="long long", flits="long long", left="long long", hop=Py_ssize_t, count="long long",
    )
    cdef _grant(self, VcQueue queue, Chunk chunk, VcQueue target)
    @cython.locals(queue=VcQueue)
    cpdef _deliver(self, Chunk chunk)
    @cython.locals(chunk=Chunk, link=Link)
    cdef _offer(self, VcQueue queue)
    @cython.locals(first=Chunk)
    cdef _wake_waiter(self, VcQueue target)
    @cython.locals(engine=Calendar, time_ps="long long", count="long long")
    cdef _schedule_retry(self, VcQueue target, long long credit_ps)
    @cython.locals(engine=Calendar, ready="long long", time_ps="long long", count="long long")
    cdef _schedule_ask(self, VcQueue queue, Chunk head)
