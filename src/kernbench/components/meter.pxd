cdef class Meter:
    cdef public long long busy_ps, idle_ps
    cdef public dict stalled_ps

    cpdef stall(self, str cause, long long spent_ps)
