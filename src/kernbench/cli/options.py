"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from kernbench.compiled import ENGINES, choose
from kernbench.errors import UsageError
from kernbench.wording import quoted, shortened


def load_plugins(files: Iterable[str]) -> None:
    """Run the user's files, which register what is in them; what they print goes to stderr."""
    with redirect_stdout(sys.stderr):
        for name in files:
            from kernbench.simulation import load_plugin

            load_plugin(Path(name))


def assignments(texts: list[str] | tuple[str, ...]) -> dict[str, str]:
    """``name=value`` texts as a dict; UsageError where one is none, or a name is given twice.

    >>> assignments(["m=512", "dtype=bf16"])
    {'m': '512', 'dtype': 'bf16'}
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"-p {shortened(text)}: write name=value, as in -p m=512")
        if name in values:
            raise UsageError(
                f"-p {shortened(text)}: {shortened(name)} is set already, by -p {shortened(f'{name}={values[name]}')}; "
                "keep one of the two"
            )
        values[name] = value
    return values


MOST_DIGITS = 18


def is_whole(text: str) -> bool:
    """Whether ``text`` is a whole number of digits that anything here can count to.

    >>> is_whole("12"), is_whole("-1"), is_whole("²"), is_whole(5000 * "9")
    (True, False, False, False)
    """
    return text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS


def whole_number(text: str, option: str | None = None) -> int:
    """The number zero or more that ``text`` is; typer's error names its option, or ``option`` where it has none."""
    if not is_whole(str(text)):
        most = f", of at most {MOST_DIGITS} digits" if str(text).isdecimal() else ""
        raise typer.BadParameter(
            f"{quoted(str(text))} is not a whole number, 0 or more{most}", param_hint=option and f"'{option}'"
        )
    return int(text)


def number(*names: str, help: str, metavar: str = "N") -> Any:
    """The option of these ``names`` whose value is a whole number."""
    return typer.Option(*names, metavar=metavar, parser=whole_number, help=help)


def completed_from(module: str, names: str) -> Callable[[str], list[str]]:
    """How a shell completes a value: by what ``names`` of ``module`` has, or gives; imported when it is asked."""

    def complete(incomplete: str) -> list[str]:
        known = getattr(import_module(module), names)
        return [name for name in (known() if callable(known) else known) if name.startswith(incomplete)]

    return complete


PRESETS = completed_from("kernbench.config.load", "preset_names")


@dataclass(slots=True)
class Session:
    """What holds for one call of the command line."""

    debug: bool = False


def _remember(context: typer.Context, value: bool) -> bool:
    context.obj.debug |= value
    return value


Races = Annotated[
    str,
    typer.Option(
        "--races",
        metavar="warn|error|off",
        help="What to do where two programs touch memory in no order, and one changes it.",
    ),
]
Uninitialised = Annotated[
    str,
    typer.Option(
        "--uninitialised",
        metavar="warn|error|ignore",
        help="What to do where memory is read that nobody wrote.",
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", callback=_remember, help="Show the traceback of an error before its line.")
]
JsonTarget = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Write the result as JSON to FILE, or to standard output instead of text.",
    ),
]
TopologyName = Annotated[
    str,
    typer.Option(
        "--topology",
        metavar="NAME|FILE",
        help="The machine: a preset's name or a YAML file.",
        autocompletion=PRESETS,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override the configuration, as in cube.hbm.channels=8; may be repeated.",
    ),
]


def _choose(engine: str | None) -> str | None:
    """Before anything of an engine is imported: commands import what they use when they run."""
    if engine is not None:
        choose(engine)
    return engine


Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="|".join(ENGINES),
        callback=_choose,
        expose_value=False,
        help="Which engine runs: compiled, plain Python, or the fastest there is; as KERNBENCH_ENGINE does.",
    ),
]
MaxTime = Annotated[
    str | None,
    typer.Option("--max-time", metavar="TIME", help="Stop after so much simulated time, as in 10ms."),
]
MaxCpu = Annotated[
    str | None,
    typer.Option("--max-cpu", metavar="TIME", help="Stop after so much CPU time, as in 60s."),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE.py", help="A Python file with your components; may be repeated."),
]
