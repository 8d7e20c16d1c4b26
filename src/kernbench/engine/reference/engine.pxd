from kernbench.engine.reference.calendar cimport Calendar, Signal


cdef class Engine(Calendar):
    cpdef Signal signal(self)
