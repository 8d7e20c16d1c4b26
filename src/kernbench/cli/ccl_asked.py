"""What a call of ``kernbench ccl`` asks for, once its options go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernbench.cli.ccl_sizes import sizes_of
from kernbench.cli.files import STDOUT
from kernbench.errors import UnknownNameError, UsageError
from kernbench.registry import did_you_mean
from kernbench.wording import quoted

if TYPE_CHECKING:
    from kernbench.bench.collectives.request import Request

MODES = ("timed", "timing", "oracle")
HALVES = ("out", "in")
BUFFERS = ("tcm", "hbm", "sram")
TUNED_LEAST, TUNED_MOST, TUNED_FACTOR = "64", "256K", "4"  # a minute on `tiny`


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of a call, as they were given; texts of sizes are None where they were left out."""

    collective: str | None
    least: str | None
    most: str | None
    factor: str | None
    step: str | None
    iters: int
    warmup: int
    check: int | None
    op: str
    dtype: str
    root: int
    algo: str | None
    ranks: int | None
    buffer: str | None
    ideal: bool
    mode: str
    half: str | None
    compare: bool
    topology: str
    overrides: Sequence[str] | None
    plugin: Sequence[str] | None
    debug: bool
    tune: bool
    output_file: str
    plot: str | None
    json: str | None
    max_time: str | None
    max_cpu: str | None

    def settled(self) -> Asked:
        """The options with the sizes that tuning has by default.

        Raises:
            KernBenchError: two of them do not go together, or one is unknown; names the option.
        """
        self._require_together()
        if not self.tune:
            return self
        return replace(
            self,
            least=self.least or TUNED_LEAST,
            most=self.most or TUNED_MOST,
            factor=self.factor or (None if self.step else TUNED_FACTOR),
        )

    def _require_together(self) -> None:
        given = (("mode", self.mode, MODES), ("half", self.half, HALVES), ("buffer", self.buffer, BUFFERS))
        for option, value, known in given:
            if value is not None and value not in known:
                raise UnknownNameError(
                    f"--{option}: unknown {option} {quoted(value)}; {did_you_mean(value, known)}"
                )
        if self.mode == "oracle":
            self._require_oracle()
        if self.ideal:
            self._require_ideal()
        if self.half == "in" and self.collective == "barrier":
            raise UsageError("--half in: a barrier moves nothing, in place or not; leave it out")
        if self.iters < 1:
            raise UsageError("-n 0: nothing is timed; give 1 or more")
        if self.check and self.mode == "timing":
            raise UsageError(f"-c {self.check}: mode timing computes no values; leave it or --mode out")
        if self.tune:
            self._require_tunable()
        elif self.collective is None:
            raise UsageError("no collective; name one, as in kernbench ccl all_reduce")
        elif self.output_file != STDOUT:
            raise UsageError(
                f"--output {self.output_file}: is where --tune writes; for the rows, give --json FILE"
            )

    def _require_ideal(self) -> None:
        """Refuse what an ideal machine does not have."""
        if self.mode == "timing":
            raise UsageError("--ideal: computes values with its times; leave --mode out")
        if self.max_time is not None:
            raise UsageError(
                "--max-time: the ideal machine has no clock to stop; use --max-cpu, or leave --ideal out"
            )
        if self.buffer is not None:
            raise UsageError(
                f"--buffer {self.buffer}: the ideal machine has no memories; leave it or --ideal out"
            )

    def _require_oracle(self) -> None:
        """Refuse what says how to run something: theory runs nothing."""
        if self.tune:
            raise UsageError("--mode oracle: --tune asks theory with --ideal; leave --mode out")
        if self.ideal:
            raise UsageError("--ideal: mode oracle is theory of the ideal machine; leave one of them out")
        if self.check:
            raise UsageError(f"-c {self.check}: mode oracle computes no values; leave it or --mode out")
        for flag, number in (("-n", self.iters), ("-w", self.warmup)):
            if number > 1:
                raise UsageError(f"{flag} {number}: mode oracle runs nothing; leave it or --mode out")
        if self.half is not None:
            raise UsageError(
                f"--half {self.half}: theory knows one time for both halves; leave it or --mode out"
            )
        if self.max_time is not None:
            raise UsageError(
                "--max-time: mode oracle has no clock to stop; use --max-cpu, or leave --mode out"
            )
        if self.buffer is not None:
            raise UsageError(
                f"--buffer {self.buffer}: the ideal machine has no memories; leave it or --mode out"
            )

    def _require_tunable(self) -> None:
        """Refuse options that say something of rows, or of one algorithm."""
        if self.compare:
            raise UsageError("--compare: --tune compares all algorithms; leave one of them out")
        for name in ("algo", "check", "half", "plot", "json"):
            value = getattr(self, name)
            if value is not None:
                raise UsageError(
                    f"--{name} {value}: --tune compares all algorithms, without values; leave it or --tune out"
                )

    def sizes(self) -> Sequence[int]:
        """Bytes, ascending; of a barrier, which moves none, a 0.

        Raises:
            UsageError: there are none, or none that can be drawn.
        """
        sizes = (
            [0] if self.collective == "barrier" else sizes_of(self.least, self.most, self.factor, self.step)
        )
        if self.plot is not None and not any(sizes):
            raise UsageError(f"--plot {self.plot}: nothing is moved at these sizes; give larger ones")
        return sizes

    def size_words(self) -> list[str]:
        """The options that gave the sizes, as they stand on a command line."""
        given = {"-b": self.least, "-e": self.most, "-f": self.factor, "-i": self.step}
        return [word for option, text in given.items() if text is not None for word in (option, text)]

    def request(self) -> Request:
        """What to measure."""
        from kernbench.bench.collectives.request import Request

        has_values = self.mode == "timed" and self.collective != "barrier" and not self.tune
        return Request(
            collective=self.collective or "all_reduce",  # type: ignore[arg-type]  # checked where it is used
            algorithm=self.algo,
            n_ranks=self.ranks,
            dtype=self.dtype,
            op=self.op,
            root=self.root,
            n_iters=self.iters,
            n_warmup=self.warmup,
            n_checks=(1 if self.check is None else self.check) if has_values else 0,
            buffer=self.buffer,
            mode="timing" if self.tune else self.mode,
            half=self.half,  # type: ignore[arg-type]  # checked above
            is_ideal=self.ideal and not self.tune,
        )
