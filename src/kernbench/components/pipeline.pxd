from kernbench.messages.oplog cimport Row


cdef class Station:
    cdef public object meter
    cdef public long long free_ps
    cdef public Row last_record
    cdef long long _resting_from_ps

    cpdef begin(self, long long now_ps, came_ps=*, cause=*)
    cpdef free(self, long long now_ps, Row record)
    cpdef worked(self, long long begin_ps, long long now_ps)
    cpdef settle(self, long long now_ps)
    cpdef Row cause(self, long long ready_ps, Row cause)
