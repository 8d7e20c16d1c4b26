"""``torch.measure``: which part of a host program is measured, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kernbench.device.measures import Measures
from kernbench.dtypes import DType
from kernbench.lang.source import user_line


class Measuring:
    """A part of a host program that is measured under ``name``: a block of ``with``, or the body of a loop over it.

    A round begins when all that was launched and mapped before is complete (``settle``), and ends when all that was
    launched in it is. ``flops`` and ``gemm`` are of one round.
    """

    def __init__(
        self,
        name: str,
        measures: Measures,
        settle: Callable[[], None],
        *,
        iters: int | None,
        flops: int,
        gemm: DType | None,
    ) -> None:
        self.name = name
        self._line = user_line()
        self._measures = measures
        measures.promise(self, name, self._line)
        self._settle = settle
        self._iters = iters
        self._flops = flops
        self._gemm = gemm

    def __enter__(self) -> None:
        self._open(is_loop=False)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._close()
        else:
            self._measures.abandon()

    def __iter__(self) -> Iterator[int]:
        for i in range(self._measures.iters if self._iters is None else self._iters):
            self._open(is_loop=True)
            try:
                yield i
            except GeneratorExit:  # the loop was left, by an error, break or return
                self._measures.abandon()
                raise
            self._close()

    def _open(self, *, is_loop: bool) -> None:
        self._measures.require_none_open(self.name, self._line)
        self._measures.keep(self)
        self._settle()
        self._measures.open(self.name, self._line, is_loop=is_loop)

    def _close(self) -> None:
        self._settle()
        self._measures.close(self._flops, self._gemm)
