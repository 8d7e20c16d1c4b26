cdef class Server:
    cdef public object free
    cdef readonly long long per_byte
    cdef readonly long long scale
    cdef public long long size_bytes
    cpdef tuple reserve(self, long long ready_ps, long long size_bytes)
    cpdef tuple stream(self, long long head_ps, long long tail_ps, long long size_bytes)
