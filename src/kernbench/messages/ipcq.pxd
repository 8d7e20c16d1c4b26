from kernbench.messages.oplog cimport Row


cdef class QueueEnd:
    cdef readonly object name, ring
    cdef readonly long long pe, rank
    cdef public object owner, pa
    cdef public QueueEnd peer


cdef class IpcqDmaToken:
    cdef public long long landed_ps, left_bytes
    cdef readonly object metadata, number
    cdef readonly long long part, size_bytes
    cdef public Row record
    cdef readonly QueueEnd to
