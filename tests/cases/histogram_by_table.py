"""Two programs are sent to one bin by a table: as an error, in both modes, at exit code 3."""

import sys

import numpy as np

import kernbench as kb
from kernbench import tl


@kb.jit
def count(bin_ptr, counts_ptr):
    at = tl.load(bin_ptr + tl.program_id(0))
    tl.store(counts_ptr + at, tl.load(counts_ptr + at) + 1)


for mode in ("timed", "data"):
    bins, counts = np.array([3, 1, 2, 3], np.int32), np.zeros(4, np.int32)
    try:
        kb.testing.run(count, (4,), [bins, counts], mode=mode, races="error")
    except kb.errors.RaceError as error:
        print(mode, error.exit_code, str(error)[:69], file=sys.stdout)

# $ python histogram_by_table.py
# timed 3 histogram_by_table.py:14: race on 'arg1' int32[4], element [3]: histo
# data 3 histogram_by_table.py:14: race on 'arg1' int32[4], element [3]: histo
