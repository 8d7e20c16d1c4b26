from kernbench.components.meter cimport Meter
from kernbench.engine.reference.channel cimport Fabric as Fabric_t
from kernbench.engine.reference.engine cimport Engine as Engine_t
from kernbench.engine.reference.log cimport OpLog as OpLog_t
from kernbench.engine.reference.queue cimport Queue as Queue_t


cdef class Component:
    cdef dict __dict__
    cdef object __weakref__
    cdef public object site, node, graph, params
    cdef public Engine_t engine
    cdef public OpLog_t log
    cdef public Fabric_t fabric
    cdef public long long pe, address, rank
    cdef public Meter meter
    cdef public Queue_t inbox
