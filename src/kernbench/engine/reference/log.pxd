from kernbench.engine.reference.containers cimport Rows
from kernbench.messages.oplog cimport Row


cdef class OpLog:
    cdef public bint keep
    cdef readonly object lines
    cdef readonly Py_ssize_t first
    cdef public list values
    cdef Rows _open
    cdef list _rows, _blocks
    cdef object _sha, _drain
    cdef long long _instant_ps
    cdef Py_ssize_t _n_rows, _n_values

    cpdef Row append(
        self, long long node, long long op, long long program, long long command, long long tile, long long ready_ps,
        long long start_ps, long long end_ps, long long commit_ps=*, Row cause=*, long long version=*, long long va=*,
        long long size_bytes=*, long long work=*, tuple marks=*,
    )
    cpdef commit(self, commit_ps, node, seq, pe, command)
