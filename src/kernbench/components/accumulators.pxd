cimport cython


cdef class _Resident:
    cdef readonly object size_bytes, tcm_bytes, maker
    cdef readonly list readers
    cdef public bint is_stored


cdef class AccumulatorFile:
    cdef public object capacity_bytes
    cdef object _unused_bytes
    cdef dict _residents, _stored_by
    cdef list _left

    @cython.locals(resident=_Resident)
    cpdef to_tcm(self, version, reader)
