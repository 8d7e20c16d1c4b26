from kernbench.messages.commands cimport Command

cdef class Kept:
    cdef object array, dot_form
    cdef bint is_released
    cdef long long n_reads

cdef class Values:
    cdef public dict _kept, mail

    cdef Kept _of(self, version)
    cpdef expect(self, Command command)
    cpdef settle(self, Command command)

cdef class Evaluation:
    cdef object command, memory, page_tables, pe, time_ps, values, watch
