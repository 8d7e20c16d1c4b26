"""What PE_GEMM multiplies in a cycle."""

from __future__ import annotations

from functools import lru_cache

from kernbench.config.pe import GemmSpec
from kernbench.dtypes import DType, as_dtype, float8e4nv, float8e5
from kernbench.errors import DTypeError
from kernbench.messages.source_line import SourceLine


def macs_per_cycle(dtype: DType, spec: GemmSpec, line: SourceLine | None = None) -> int:
    """MACs that PE_GEMM does in a cycle on ``dtype``; both fp8 formats share one entry.

    Raises:
        DTypeError: the array has no rate for it; names the ``line`` of the kernel or the bench.
    """
    rates = _array_rates(tuple(spec.macs_per_cycle.items()))
    rate = rates.get(dtype) or (rates.get(float8e4nv) if dtype is float8e5 else None)
    if rate is not None:
        return rate
    where = "" if line is None else f"{line}: "
    raise DTypeError(
        f"{where}PE_GEMM cannot multiply {dtype}: pe.gemm.macs_per_cycle lists {', '.join(spec.macs_per_cycle)}; "
        "cast the operands or add the dtype there"
    )


@lru_cache(maxsize=64)
def _array_rates(macs_per_cycle: tuple[tuple[str, int], ...]) -> dict[DType, int]:
    return {as_dtype(name): macs for name, macs in macs_per_cycle}
