cimport cython


cdef class Server:
    cdef readonly object rate
    cdef readonly long long per_byte, scale
    cdef public long long size_bytes
    cdef long long _free_ps, _free_part
    @cython.locals(
        start_ps="long long", end_ps="long long", part="long long", rest="long long", spent="long long", whole_ps="long long",
    )
    cpdef (long long, long long) reserve(self, long long ready_ps, long long size_bytes)
    @cython.locals(lead_ps="long long")
    cpdef (long long, long long) stream(self, long long head_ps, long long tail_ps, long long size_bytes)
