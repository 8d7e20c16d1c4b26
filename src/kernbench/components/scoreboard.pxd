cimport cython

from kernbench.messages.oplog cimport Row
from kernbench.messages.tokens cimport PipelineContext, PipelinePlan


cdef class _Touch:
    cdef readonly object access, low, high
    cdef readonly long long seq
    cdef readonly bint is_write

    cdef bint conflicts(self, _Touch other)


cdef class _Touches:
    cdef list _lows, _touches
    cdef object _longest

    cdef add(self, _Touch touch)
    @cython.locals(at=Py_ssize_t)
    cdef remove(self, _Touch touch)
    @cython.locals(touch=_Touch)
    cdef oldest_conflict(self, _Touch own)


cdef class Flight:
    cdef public long long admitted_ps
    cdef readonly long long need_bytes
    cdef public object lane, command, done
    cdef public Row cause
    cdef public PipelineContext context
    cdef readonly PipelinePlan plan
    cdef public bint is_release, streams
    cdef public list reads, touches


cdef class _Value:
    cdef public bint holds_slots, is_released
    cdef public Flight maker
    cdef readonly list readers
    cdef public long long size_bytes


cdef class Scoreboard:
    cdef public list freed
    cdef public dict flights
    cdef public long long live_bytes
    cdef _Touches _touches
    cdef dict _values

    @cython.locals(touch=_Touch, value=_Value)
    cpdef admit(self, Flight flight)
    @cython.locals(value=_Value, freed_bytes="long long")
    cpdef long long release(self, versions) except -1
    @cython.locals(value=_Value, inherited=_Value)
    cpdef Flight blocker(self, Flight flight)
    @cython.locals(touch=_Touch, value=_Value, freed_bytes="long long")
    cpdef long long complete(self, Flight flight) except -1
    @cython.locals(value=_Value)
    cdef long long _try_free(self, version) except -1
