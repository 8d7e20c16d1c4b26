"""Whether the tensors of a bench are right."""

from __future__ import annotations

import numpy as np

from kernbench.bench.outcome import Array, Outcome
from kernbench.runs.result import Check


def judged(outcome: Outcome, results: list[Array]) -> Check:
    """Compare ``results`` with the references of ``outcome``, element by element."""
    if outcome.unchecked:
        return Check.none(outcome.unchecked)
    worst, ok = 0.0, True
    references = outcome.references()
    for result, expected in zip(results, references, strict=bool(references)):
        if result.size:
            error = np.abs(result.astype(np.float64) - expected.values.astype(np.float64))
            ok = ok and bool((error <= expected.tolerance).all())
            worst = max(worst, float(np.nan_to_num(error, nan=np.inf).max()))
    if not results:
        return Check.none("the Outcome names no outputs")
    if not references:
        return Check.none("the Outcome expects no values")
    if not any(result.size for result in results):
        return Check.none("its outputs have no elements")
    return Check(ok=ok, max_abs_err=worst, reference=outcome.reference)
