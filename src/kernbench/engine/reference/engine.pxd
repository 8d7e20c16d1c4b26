from kernbench.engine.reference.calendar cimport Calendar, Process, Signal
from kernbench.engine.reference.queue cimport Credits, Queue


cdef class Engine(Calendar):
    cpdef Queue queue(self, object capacity=*, str name=*)
    cpdef Credits credits(self, total, str name=*)
    cpdef Signal signal(self)
