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
    from kernbench.config.schema import Config, TopologySpec


def tune(
    target: str,
    topology: str,
    overrides: Sequence[str],
    request: Request,
    sizes: Sequence[int],
    size_words: Sequence[str],
    collective: str | None,
    *,
    by_theory: bool,
) -> None:
    """Write the tables of all collectives, or of one, to the file ``target`` or to standard output.

    ``size_words`` are the options that gave ``sizes``.
    """
    from kernbench.bench.collectives.request import require_known
    from kernbench.bench.collectives.tune import Tuner
    from kernbench.ccl.algorithm import load_algorithms
    from kernbench.cli.console import sign_of_life
    from kernbench.config.load import load_config
    from kernbench.config.schema import CclSelectionSpec

    require_writable(target)
    load_algorithms()
    config = load_config(topology, overrides)
    wanted = list(CclSelectionSpec.model_fields) if collective is None else [collective]
    for name in wanted:
        require_known(replace(request, collective=name))  # type: ignore[arg-type]  # says whether it is one
    if wanted == ["send_recv"]:
        raise UsageError("--tune: ccl.yaml selects nothing for send_recv; name another collective")
    groups = [request.n_ranks] if request.n_ranks is not None else levels(config.topology)
    found: list[Tuned] = []
    with sign_of_life("tuning") as tell:
        for n_ranks in groups:
            tuner = Tuner(config, replace(request, n_ranks=n_ranks), sizes, by_theory=by_theory, tell=tell)
            tuned = (tuner.tuned(name) for name in wanted)  # type: ignore[arg-type]
            found += [each for each in tuned if each is not None]
    if not found:
        raise UsageError("--tune: no algorithm runs on these ranks at these sizes; give others")
    how = command_of(topology, overrides, request, size_words, collective, by_theory=by_theory)
    lines = lines_of(config, target, how, request, sizes, found, by_theory=by_theory)
    text = "".join(f"{line}\n" for line in lines)
    if target == STDOUT:
        print(text, end="")
    else:
        write_text(target, text)
        print(f"wrote {target}; use it with --set ccl={target}, or as ccl: in a topology")


def levels(spec: TopologySpec) -> list[int]:
    """The PEs of a cube, of a SIP and of all, where they differ."""
    n_cube = spec.cube.pes.count
    n_sip = n_cube * spec.sip.cubes.count
    return sorted({n_cube, n_sip, n_sip * spec.system.sips.count})


def command_of(
    topology: str,
    overrides: Sequence[str],
    request: Request,
    sizes: Sequence[str],
    collective: str | None,
    *,
    by_theory: bool,
) -> str:
    """The command line that finds the same tables again; ``sizes`` are its options of sizes."""
    usual = type(request)(collective=request.collective)
    words = [
        "kernbench",
        "ccl",
        *([] if collective is None else [collective]),
        "--tune",
        "--topology",
        topology,
    ]
    words += [word for text in overrides for word in ("--set", text)]
    for option, name in OPTIONS.items():
        value = getattr(request, name)
        words += [] if value == getattr(usual, name) else [option, str(value)]
    return shlex.join([*words, *sizes, *(["--ideal"] if by_theory else [])])


def lines_of(
    config: Config,
    target: str,
    how: str,
    request: Request,
    sizes: Sequence[int],
    found: Sequence[Tuned],
    *,
    by_theory: bool,
) -> Iterator[str]:
    """The file: how it was found, what was left out and why, and the tables."""
    from kernbench.reports.tables import machine
    from kernbench.units import format_bytes

    measured = "estimated by theory" if by_theory else "timed out of place"
    span = f"{format_bytes(sizes[0])} to {format_bytes(sizes[-1])}"
    yield f"# {how}"
    yield f"# {machine(config.topology)}; {request.dtype}, {request.op}, {measured} at {len(sizes)} sizes from"
    yield f"# {span}. Each stands for those below it, down to the one before."
    for line in left_out_of(found):
        yield f"# {line}"
    yield f"extends: {base_of(config.topology.ccl, target)}"
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
    from kernbench.config.schema import MAX

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
