cimport cython


cdef class _Resident:
    cdef readonly object size_bytes, tcm_bytes, maker
    cdef readonly list readers
    cdef public bint is_stored


cdef class AccumulatorFile:
    cdef public object capacity_bytes
    cdef object _unused_bytes
    cdef dict _residents
    cdef list _left
    cdef dict _stored_by

    @cython.locals(resident=_Resident)
    cpdef bint read(self, version, reader)
    @cython.locals(resident=_Resident)
    cpdef to_tcm(self, version, reader)
    cpdef place(self, version, size_bytes, tcm_bytes, maker)
    cpdef use_all(self, maker)
    cpdef drop(self, version)
    cdef _make_room(self, size_bytes, maker)
    @cython.locals(resident=_Resident)
    cdef tuple _evict(self, evictor)
    cdef _leave(self, _Resident resident)
