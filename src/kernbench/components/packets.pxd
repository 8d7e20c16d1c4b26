cimport cython


@cython.locals(pa="long long", run_bytes="long long", pitch="long long", n_runs="long long", i="long long")
cpdef burst_bytes(piece, long long burst)
cdef long long _rounded(long long pa, long long run_bytes, long long burst) except -1
