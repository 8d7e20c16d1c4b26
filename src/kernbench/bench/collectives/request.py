"""What is asked of a collective, in the names of nccl-tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kernbench import dtypes
from kernbench.ccl.algorithm import ALGORITHMS, OPS, load_algorithms
from kernbench.dtypes import DType
from kernbench.errors import UsageError
from kernbench.registry import require_listed
from kernbench.theory.group import COLLECTIVES, Collective

ROOTED: frozenset[Collective] = frozenset(("broadcast", "reduce"))
TYPES: dict[str, DType] = {
    "int8": dtypes.int8,
    "uint8": dtypes.uint8,
    "int32": dtypes.int32,
    "uint32": dtypes.uint32,
    "int64": dtypes.int64,
    "uint64": dtypes.uint64,
    "half": dtypes.float16,
    "float": dtypes.float32,
    "double": dtypes.float64,
    "bfloat16": dtypes.bfloat16,
}
"""nccl-tests' names of types."""


HalfName = Literal["out", "in"]
"""Out of place, or in place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to measure. ``buffer`` is the memory of the rings (None: as configured).

    ``half`` is the half to run (None: both). In mode ``oracle`` none is: theory says what the ideal machine takes.

    The results of ``n_checks`` runs are checked, each of other values: the last timed one and, if that is not enough,
    more.
    """

    collective: Collective
    algorithm: str | None = None
    n_ranks: int | None = None
    dtype: str = "float"
    op: str = "sum"
    root: int = 0
    n_iters: int = 1
    n_warmup: int = 1
    n_checks: int = 1
    buffer: Any = None
    mode: str = "timed"
    is_ideal: bool = False
    half: HalfName | None = None

    @property
    def is_oracle(self) -> bool:
        """Whether nothing is run."""
        return self.mode == "oracle"

    @property
    def is_by_data_sheet(self) -> bool:
        """Whether links and engines are those of the data sheet, and nothing else takes time."""
        return self.is_ideal or self.is_oracle


def require_known(request: Request) -> None:
    """Raise where a request names what there is not."""
    for what, name, known in (
        ("collective", request.collective, COLLECTIVES),
        ("type", request.dtype, TYPES),
        ("op", request.op, OPS),
    ):
        require_listed(what, name, known)
    if not algorithms_of(request.collective):
        have = sorted({ALGORITHMS[name].collective for name in ALGORITHMS})
        raise UsageError(
            f"no algorithm is registered for {request.collective}; there are some for {', '.join(have)}"
        )


def algorithms_of(collective: Collective) -> list[str]:
    """The names of all ways to do it."""
    algorithms = load_algorithms()
    return [name for name in algorithms if algorithms[name].collective == collective]
