cimport cython

from kernbench.machine.polls cimport Changes, Polls
from kernbench.messages.lines cimport PeLines


cdef class PeCounters:
    cdef public long long next_version
    cdef public long long pe
    cdef public long long seq


cdef class ProgramPort:
    cdef public object pe_name
    cdef public object program
    cdef public object program_ids
    cdef public object grid
    cdef public object tcm_bytes
    cdef public object strict
    cdef public object site
    cdef public object launch
    cdef public PeCounters counters
    cdef public object thread
    cdef public object say
    cdef public object cpu
    cdef public Polls polls

    cpdef note(self, command)
    cpdef note_done(self, version)
    cpdef next_seq(self)
    cpdef next_version(self)


cdef class ProgramRun(ProgramPort):
    cdef public object scope
    cdef public object executor
    cdef public object lines
    cdef public PeLines own_lines
    cdef public object now_ps
    cdef public object require_change
    cdef public object standstill
    cdef object _ahead
    cdef object _read_at_ps
    cdef object _asks
    cdef object _body
    cdef object _hub
    cdef public object kernel
    cdef public bint _has_returned

    cpdef issue(self, command)
    cpdef force(self, version, line)
    cpdef is_done(self, version, line)
    cpdef clock_ps(self)
    cdef _note_poll(self, line)
    cdef _ask(self, what)
    cdef _switch_to_hub(self)
    cpdef next_item(self)
    cdef _run_ahead(self)
