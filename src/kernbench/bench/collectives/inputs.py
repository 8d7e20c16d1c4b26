"""Values to try a collective on whose results need no tolerance, and what those must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DType
from kernbench.theory.group import Collective

Array = npt.NDArray[Any]
REDUCING: frozenset[Collective] = frozenset(("all_reduce", "reduce_scatter", "reduce"))
REDUCTIONS: dict[str, Any] = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min, "avg": np.mean}
MANTISSA_BITS = {"fp64": 53, "fp32": 24, "fp16": 11, "bf16": 8}


class Inputs:
    """Values whose reduction needs no tolerance: whole numbers whose sums and products are exact in their type.

    Those of each ``turn`` are others.
    """

    def __init__(self, n_ranks: int, dtype: DType, op: str, turn: int = 0) -> None:
        self.n_ranks = n_ranks
        self.dtype = dtype
        self.op = op
        self.first = 5 * turn
        bits = MANTISSA_BITS.get(dtype.name, dtype.bits - dtype.signed)
        self.most = min((1 << bits) - 1, 1 << 20)

    def of(self, collective: Collective, rank: int, n: int) -> Array:
        """What ``rank`` puts in: ``[n]``."""
        at, p = np.arange(self.first, self.first + n, dtype=np.int64), self.n_ranks
        turn = (at + rank) % p
        if collective not in REDUCING or self.op in ("max", "min"):
            values = (31 * at + 17 * rank) % (self.most + 1)
        elif self.op == "prod":
            n_twos = min(6, self.most.bit_length() - 1, p)
            values = np.where(turn < 1 + at % n_twos, 2, 1)
        elif self.op == "avg":
            # The places in turn differ by whole numbers, so that an average is whole or a half.
            each = self.most // p
            values = (at % max(1, each - p + 1)) + turn if each >= p else np.full(n, min(1, each))
        else:
            n_used = min(p, self.most)
            values = np.where(turn < n_used, 1 + (7 * at + 3 * rank) % (self.most // n_used), 0)
        return values.astype(self.dtype.numpy)


def expected(
    collective: Collective, op: str, root: int, inputs: Sequence[Array]
) -> Iterator[tuple[int, Array]]:
    """``(rank, values)`` that a collective must leave, of each rank that gets something."""
    p, shard = len(inputs), inputs[0].size // len(inputs)
    reduced = reduction(op, inputs) if collective in REDUCING else inputs[0]
    for rank in range(p):
        mine = slice(rank * shard, (rank + 1) * shard)
        if collective == "all_reduce" or (collective == "reduce" and rank == root):
            yield rank, reduced
        elif collective == "reduce_scatter":
            yield rank, reduced[mine]
        elif collective == "all_gather":
            yield rank, np.concatenate(inputs)
        elif collective == "all_to_all":
            yield rank, np.concatenate([x[mine] for x in inputs])
        elif collective == "broadcast":
            yield rank, inputs[root]
        elif collective == "send_recv" and rank == 1:
            yield rank, inputs[0]


def reduction(op: str, inputs: Sequence[Array]) -> Array:
    """``op`` over all inputs, element by element, in their own type; an average of integers is cut off."""
    dtype = inputs[0].dtype
    wide = np.stack([x.astype(np.float64 if op == "avg" else np.int64) for x in inputs])
    total = REDUCTIONS[op](wide, axis=0)
    reduced: Array = (np.trunc(total) if op == "avg" and dtype.kind in "iu" else total).astype(dtype)
    return reduced
