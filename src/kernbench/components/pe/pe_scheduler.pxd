from kernbench.components.scoreboard cimport Flight
from kernbench.messages.oplog cimport Row


cdef class Lane:
    cdef public Row cause
    cdef public object flights
    cdef public bint is_behind
    cdef public object places
    cdef public Flight streaming
    cdef public long long turned_ps
