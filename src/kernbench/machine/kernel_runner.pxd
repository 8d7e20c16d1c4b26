from kernbench.machine.polls cimport Changes, Polls
from kernbench.messages.commands cimport Command
from kernbench.messages.lines cimport PeLines


cdef class PeCounters:
    cdef public long long next_version, pe, seq


cdef class ProgramPort:
    cdef public object pe_name, program, program_ids, grid, tcm_bytes, strict, site, launch, thread, say, cpu
    cdef public PeCounters counters
    cdef public Polls polls

    cpdef next_seq(self)
    cpdef next_version(self)


cdef class ProgramRun(ProgramPort):
    cdef public object scope, executor, lines, now_ps, require_change, standstill, kernel
    cdef public PeLines own_lines
    cdef object _ahead, _read_at_ps, _asks, _body, _hub
    cdef public bint _has_returned

    cpdef issue(self, Command command)
    cdef _ask(self, what)
    cdef _switch_to_hub(self)
    cpdef next_item(self)
    cdef _run_ahead(self)
