"""``kernbench ccl --tune``: the tables of ``ccl.yaml`` for a machine, with a progress line while they are found."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kernbench.cli.files import STDOUT, require_writable, write_text
from kernbench.errors import UsageError

OPTIONS = {"--ranks": "n_ranks", "-d": "dtype", "-o": "op", "-w": "n_warmup", "--buffer": "buffer"}

if TYPE_CHECKING:
    from kernbench.bench.collectives.request import Request
    from kernbench.bench.collectives.tune import Tuned
    from kernbench.cli.ccl_asked import Asked
    from kernbench.config.schema import Config, TopologySpec


def write_tables(asked: Asked, sizes: Sequence[int]) -> None:
    """Write the tables of all collectives, or of the one that was asked for, to a file or to standard output."""
    from kernbench.bench.collectives.request import require_known
    from kernbench.ccl.algorithm import load_algorithms
    from kernbench.config.ccl import CclSelectionSpec
    from kernbench.config.load import load_config

    target, request = asked.output_file, asked.request()
    require_writable(target)
    load_algorithms()
    config = load_config(asked.topology, asked.overrides or ())
    wanted = list(CclSelectionSpec.fields()) if asked.collective is None else [asked.collective]
    for name in wanted:
        require_known(replace(request, collective=name))  # type: ignore[arg-type]  # says whether it is one
    if wanted == ["send_recv"]:
        raise UsageError("--tune: ccl.yaml selects nothing for send_recv; name another collective")
    found = _tuned(config, request, sizes, wanted, by_theory=asked.ideal)
    text = "".join(f"{line}\n" for line in lines_of(config, asked, request, sizes, found))
    if target == STDOUT:
        print(text, end="")
    else:
        write_text(target, text)
        print(f"wrote {target}; use it with --set ccl={target}, or as ccl: in a topology")


def _tuned(
    config: Config, request: Request, sizes: Sequence[int], wanted: Sequence[str], *, by_theory: bool
) -> list[Tuned]:
    """What is the fastest of each collective, on the ranks of each level."""
    from kernbench.bench.collectives.tune import Tuner
    from kernbench.cli.console import sign_of_life

    found: list[Tuned] = []
    with sign_of_life("tuning") as tell:
        for n_ranks in [request.n_ranks] if request.n_ranks is not None else levels(config.topology):
            tuner = Tuner(config, replace(request, n_ranks=n_ranks), sizes, by_theory=by_theory, tell=tell)
            tuned = (tuner.tuned(name) for name in wanted)  # type: ignore[arg-type]  # known by now
            found += [each for each in tuned if each is not None]
    if not found:
        raise UsageError("--tune: no algorithm runs on these ranks at these sizes; give others")
    return found


def levels(spec: TopologySpec) -> list[int]:
    """The PEs of a part of each level, and of all, where they differ."""
    from kernbench.topology.levels import count_of, levels_of

    found = levels_of(spec)
    return sorted({count_of(found[depth:]) for depth in range(len(found))})


def command_of(asked: Asked, request: Request) -> str:
    """The command line that finds the same tables again."""
    usual = type(request)(collective=request.collective)
    words = ["kernbench", "ccl", *([] if asked.collective is None else [asked.collective]), "--tune"]
    words += ["--topology", asked.topology]
    words += [word for text in asked.overrides or () for word in ("--set", text)]
    for option, name in OPTIONS.items():
        value = getattr(request, name)
        words += [] if value == getattr(usual, name) else [option, str(value)]
    return shlex.join([*words, *asked.size_words(), *(["--ideal"] if asked.ideal else [])])


def lines_of(
    config: Config, asked: Asked, request: Request, sizes: Sequence[int], found: Sequence[Tuned]
) -> Iterator[str]:
    """The file: how it was found, what was left out and why, and the tables."""
    from kernbench.reports.tables import machine
    from kernbench.units import format_bytes

    measured = "estimated by theory" if asked.ideal else "timed out of place"
    span = f"{format_bytes(sizes[0])} to {format_bytes(sizes[-1])}"
    yield f"# {command_of(asked, request)}"
    yield f"# {machine(config.topology)}; {request.dtype}, {request.op}, {measured} at {len(sizes)} sizes from"
    yield f"# {span}. Each stands for those below it, down to the one before."
    for line in left_out_of(found):
        yield f"# {line}"
    yield f"extends: {base_of(config.topology.ccl, asked.output_file)}"
    yield "selection:"
    for collective in dict.fromkeys(tuned.collective for tuned in found):
        yield f"  {collective}:"
        yield from (f"    {line}" for line in table_lines([t for t in found if t.collective == collective]))


def left_out_of(found: Sequence[Tuned]) -> Iterator[str]:
    """A line for each algorithm that did not run, with the ranks and the reason."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for tuned in found:
        for name, reason in tuned.left_out.items():
            reasons.setdefault((name, reason), []).append(tuned.n_ranks)
    for (name, reason), numbers in reasons.items():
        yield f"Left out on {', '.join(map(str, numbers))} ranks: {name}: {reason}"


def table_lines(found: Sequence[Tuned]) -> Iterator[str]:
    """The tables of one collective, by ascending ranks; equal ones that follow each other are one."""
    from kernbench.bench.collectives.tune import selection_of
    from kernbench.config.ccl import MAX

    tables = []
    for tuned in found:
        otherwise = None if tuned.is_for_any_group else selection_of(tuned.otherwise)
        tables.append((tuned.n_ranks, selection_of(tuned.sizes), otherwise))
    for i, (n_ranks, text, otherwise) in enumerate(tables):
        if i + 1 < len(tables) and tables[i + 1][1:] == (text, otherwise):
            continue
        yield f"- ranks: {n_ranks if i + 1 < len(tables) else MAX}"
        yield f"  sizes: {text}"
        if otherwise:
            yield f"  otherwise: {otherwise}"


def base_of(ccl: str, target: str) -> str:
    """What the file extends: what the machine has now, named as seen from where the file lies."""
    from kernbench.config.load import preset_names

    if ccl in preset_names("ccl"):
        return ccl
    folder = Path() if target == STDOUT else Path(target).parent
    return os.path.relpath(ccl, folder)
