from kernbench.components.meter cimport Meter
from kernbench.engine.reference cimport channel, engine, log, queue


cdef class Component:
    cdef dict __dict__
    cdef object __weakref__
    cdef public object site, node, graph, params
    cdef public engine.Engine engine
    cdef public log.OpLog log
    cdef public channel.Fabric fabric
    cdef public long long pe, address, rank
    cdef public Meter meter
    cdef public queue.Queue inbox
