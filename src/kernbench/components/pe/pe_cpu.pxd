cimport cython

from kernbench.components.pipeline cimport StationUnit
from kernbench.engine.reference.calendar cimport Signal as Signal_t
from kernbench.messages.oplog cimport Row


cdef class PeCpu(StationUnit):
    cdef public long long n_in_flight
    cdef long long _issue_ps
    cdef set _unmade
    cdef tuple _wanted
    cdef Signal_t _bell
    cdef Row _last_completion
    cdef object _waits_for

    cdef bint _has(self, tuple wanted) except -1
    @cython.locals(now_ps="long long", start_ps="long long")
    cdef _issued(self, command)
    @cython.locals(now_ps="long long")
    cdef Row _log(self, op, long long ready_ps, long long start_ps, Row cause, program=*, command=*, version=*)
