cimport cython

from kernbench.machine.polls cimport Changes, Polls
from kernbench.messages.commands cimport Command
from kernbench.messages.lines cimport PeLines


cdef class PeCounters:
    cdef public long long next_version, pe, seq


cdef class ProgramPort:
    cdef public object pe_name, program, program_ids, grid, tcm_bytes, strict, site, launch
    cdef public PeCounters counters
    cdef public object thread, say, cpu
    cdef public Polls polls

    cpdef note(self, command)
    cpdef note_done(self, version)
    cpdef next_seq(self)
    cpdef next_version(self)


cdef class ProgramRun(ProgramPort):
    cdef public object scope, executor, lines
    cdef public PeLines own_lines
    cdef public object now_ps, require_change, standstill
    cdef object _ahead, _read_at_ps, _asks, _body, _hub
    cdef public object kernel
    cdef public bint _has_returned

    cpdef issue(self, Command command)
    cpdef force(self, version, line)
    cpdef is_done(self, version, line)
    cpdef clock_ps(self)
    cdef _note_poll(self, line)
    cdef _ask(self, what)
    cdef _switch_to_hub(self)
    cpdef next_item(self)
    cdef _run_ahead(self)
