"""``kernbench show``: pictures of a machine, to scale, what it can do at most, and where a bench's tensors lie."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernbench.cli.files import STDOUT, require_writable, write_json, write_text
from kernbench.cli.options import PRESETS, Debug, JsonTarget, Overrides, Plugins, assignments, load_plugins
from kernbench.errors import UnknownNameError, UsageError
from kernbench.files import make_folder, together
from kernbench.registry import did_you_mean
from kernbench.wording import quoted

if TYPE_CHECKING:
    from kernbench.cli.show_memory import BenchMemory
    from kernbench.cli.show_ranks import RanksView
    from kernbench.config.schema import Config, TopologySpec
    from kernbench.reports.floorplan import View
    from kernbench.theory.peaks import Peaks
    from kernbench.topology.ids import PeId

SCHEMA = "kernbench.show/2"
VIEWS: tuple[View, ...] = ("system", "sip", "cube", "pe")
EXAMPLES = """\b
Examples:
  kernbench show default
  kernbench show big --view cube -o cube.svg
  kernbench show my_topology.yaml --peaks
  kernbench show tiny --memory gemm -p m=128
  kernbench show default --ranks --algo tree_allreduce --part sip0.cube0
"""


def command(
    topology: Annotated[
        str,
        typer.Argument(metavar="TOPOLOGY", help="A preset's name or a YAML file.", autocompletion=PRESETS),
    ] = "default",
    overrides: Overrides = None,
    view: Annotated[
        str | None,
        typer.Option("--view", metavar="system|sip|cube|pe|all", help="What to draw; all if left out."),
    ] = None,
    part: Annotated[
        str,
        typer.Option(
            "--part",
            metavar="NAME",
            help="Which SIP, cube or PE the views show, as in sip0.cube1; of --ranks, the SIP or cube whose PEs they "
            "are, else all.",
        ),
    ] = "sip0.cube0.pe0",
    out: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="DIR|FILE", help="Where the SVG goes; this folder if left out."
        ),
    ] = None,
    peaks: Annotated[
        bool,
        typer.Option("--peaks", help="Print FLOP/s and GB/s of each level; draws only with --view or -o."),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="BENCH",
            help="Print where the tensors of a bench (a name or a Python file) lie; draws only with --view or -o.",
        ),
    ] = None,
    ranks: Annotated[
        bool,
        typer.Option(
            "--ranks",
            help="Draw who sends to whom in a collective, and over how many hops; other views only with --view.",
        ),
    ] = False,
    algo: Annotated[
        str | None,
        typer.Option(
            "--algo", metavar="NAME", help="The algorithm of --ranks; ccl.yaml's all_reduce if left out."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "-p", metavar="NAME=VALUE", help="Set a parameter of the bench of --memory; may be repeated."
        ),
    ] = None,
    plugin: Plugins = None,
    json: JsonTarget = None,
    debug: Debug = False,
) -> None:
    """Draw a machine or ranks; print its peaks or a bench's memory map.

    --memory runs a bench without simulated time, to print its tensors' virtual pages, shards and use of memory.
    """
    params = assignments(param or ())
    _require_used(memory, param)
    if algo is not None and not ranks:
        raise UsageError(f"--algo {algo}: no ranks are drawn; add --ranks")
    is_text_only = peaks or memory is not None
    views = _views(
        view, is_drawn=view is not None or not (is_text_only or ranks) or (out is not None and not ranks)
    )
    with together():
        files = _files(topology, views, out if not (ranks and not views) else None)
        require_writable(json, *files.values())
        load_plugins(plugin or ())

        from kernbench.cli.show_memory import memory_of
        from kernbench.config.load import load_config
        from kernbench.config.plain import config_sha256
        from kernbench.records import as_json
        from kernbench.theory.peaks import peaks as peaks_of

        config = load_config(topology, overrides or ())
        found = memory_of(memory, params, config) if memory is not None else None
        if files:
            _draw(config.topology, files, pe_of(part))
        drawn_ranks = _ranks(config, topology, algo, part, out, beside=bool(views)) if ranks else None
        limits = peaks_of(config.topology) if peaks else None
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "topology": topology,
            "config_sha256": config_sha256(config),
            "views": [{"view": name, "file": str(path)} for name, path in files.items()],
            "peaks": _as_json(limits) if limits else None,
            "memory": found.to_json() if found else None,
            "ranks": {**as_json(drawn_ranks[0]), "file": str(drawn_ranks[1])} if drawn_ranks else None,
        }
        if json is not None:
            write_json(json, document)
    if json != STDOUT:
        _print(topology, config.topology, files, limits, found, drawn_ranks)


def _require_used(memory: str | None, param: list[str] | None) -> None:
    """``-p`` is for a bench that runs."""
    if memory is None and param:
        raise UsageError(f"-p {param[0]}: no bench runs; name one, as in --memory gemm")


def _views(view: str | None, *, is_drawn: bool) -> tuple[View, ...]:
    if not is_drawn:
        return ()
    if view in (None, "all"):
        return VIEWS
    if view not in VIEWS:
        raise UnknownNameError(f"unknown view {quoted(view)}; {did_you_mean(view, (*VIEWS, 'all'))}")
    return (view,)


def pe_of(part: str) -> PeId:
    """The first PE of a SIP or cube, or the PE, that ``part`` names.

    >>> pe_of("sip1.cube2")
    PeId(sip=1, cube=2, pe=0)
    """
    from kernbench.topology.ids import PeId

    steps, first = part.split("."), ("sip0", "cube0", "pe0")
    try:
        return PeId.parse(".".join([*steps, *first[len(steps) :]]))
    except UnknownNameError:
        raise UnknownNameError(f"--part {part}: write it like sip0, sip0.cube1 or sip0.cube1.pe3") from None


def _files(topology: str, views: tuple[View, ...], out: str | None) -> dict[View, Path]:
    """The file of each view: ``out`` itself if it is an .svg, else ``<topology>-<view>.svg`` in that folder."""
    if out is not None and Path(out).suffix == ".svg":
        if len(views) > 1:
            raise UsageError(
                f"-o {out}: {len(views)} views do not fit one file; name a folder, or one view with --view"
            )
        return {view: Path(out) for view in views}
    folder = _folder(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {out}: is neither a folder nor the name of an .svg file")
    if views:
        make_folder(folder)
    return {view: folder / f"{Path(topology).stem}-{view}.svg" for view in views}


def _folder(out: str | None) -> Path:
    """The folder that is meant; UsageError where it is the name of a picture that is no SVG."""
    folder = Path(out or ".")
    if folder.suffix[1:].isalpha() and not folder.is_dir():
        raise UsageError(f"-o {out}: pictures are SVG; name an .svg file, or a folder")
    return folder


def _draw(spec: TopologySpec, files: dict[View, Path], part: PeId) -> None:
    from kernbench.cli.console import sign_of_life
    from kernbench.reports.floorplan import draw
    from kernbench.topology.builder import build_graph

    with sign_of_life("building the machine") as tell:
        graph = build_graph(spec)
        for view, path in files.items():
            tell(f"drawing the view {view}")
            write_text(path, draw(graph, view, part))


def _ranks(
    config: Config, topology: str, algo: str | None, part: str, out: str | None, *, beside: bool
) -> tuple[RanksView, Path]:
    """The picture of the ranks, and its file: ``out``, or ``<topology>-<algorithm>.svg`` in that folder."""
    from kernbench.cli.console import sign_of_life
    from kernbench.cli.show_ranks import ranks_of

    pe_of(part)
    with sign_of_life("drawing the ranks"):
        view = ranks_of(config, algo, part if part.count(".") < 2 else None)
    is_file = out is not None and Path(out).suffix == ".svg" and not beside
    path = Path(out or ".") if is_file else _folder(out) / f"{Path(topology).stem}-{view.algorithm}.svg"
    if not is_file:
        make_folder(path.parent)
    require_writable(path)
    write_text(path, view.svg)
    return view, path


def _as_json(limits: Peaks) -> dict[str, Any]:
    """Peaks as JSON; rates as numbers of bytes or FLOP per ns. Of a level two: what it gives, and can be reached."""
    from kernbench.theory.peaks import LevelPeak

    found: dict[str, float | None] = {}
    for field in fields(limits):
        value = getattr(limits, field.name)
        if field.name in ("bisection", "sip_link") and value is None:
            found |= {f"{field.name}_rate": None, f"{field.name}_reachable_rate": None}
        elif isinstance(value, LevelPeak):
            found |= {
                f"{field.name}_rate": float(value.rate),
                f"{field.name}_reachable_rate": float(value.reachable),
            }
        else:
            found[field.name] = value if isinstance(value, int) else float(value)
    return found


def _print(
    topology: str,
    spec: TopologySpec,
    files: dict[View, Path],
    limits: Peaks | None,
    found: BenchMemory | None,
    ranks: tuple[RanksView, Path] | None,
) -> None:
    from kernbench.reports.output import Output
    from kernbench.reports.tables import machine, peak_rows

    output = Output()
    output.line(f"{topology}: {machine(spec)}")
    if limits is not None:
        output.facts((f"  {what}", value) for what, value in peak_rows(limits))
    if found is not None:
        from kernbench.cli.show_memory import print_memory

        print_memory(output, found)
    if ranks is not None:
        from kernbench.cli.show_ranks import print_ranks

        print_ranks(output, ranks[0])
    for path in (*files.values(), *([ranks[1]] if ranks else [])):
        output.line(f"wrote {path}")
