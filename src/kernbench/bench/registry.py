"""A bench: a host program with a kernel, its parameters and its reference; registered, and found by name or file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from kernbench.bench.fit import Room
from kernbench.bench.outcome import Outcome
from kernbench.errors import UnknownNameError, UsageError
from kernbench.given import whole
from kernbench.registry import Registry, did_you_mean
from kernbench.simulation import load_plugin
from kernbench.topology.graph import TopologyGraph
from kernbench.wording import is_name, plural, quoted

Fit = Callable[[Room, dict[str, Any]], Mapping[str, Any]]
FOLLOWS = "auto"  # the value of a parameter that follows from the machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A registered ``run(torch, name: type = default, ...)``.

    ``fit(room, given)`` gives the parameters that have no default, from the machine's room and what is known of the
    others; ``small`` are sizes at which tests run it; it needs a machine of ``least_pes``.
    """

    name: str
    run: Callable[..., Outcome]
    fit: Fit | None = None
    least_pes: int = 1
    small: Mapping[str, Any] | None = None

    @property
    def doc(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.run) or "").split("\n")[0]

    @property
    def parameters(self) -> dict[str, tuple[type, Any]]:
        """``name -> (type, default)`` of what ``-p`` may set; a default of None follows from the machine.

        Raises:
            UsageError: ``run`` has parameters that nothing gives a value.
        """
        try:
            hints = get_type_hints(self.run)
        except (AttributeError, NameError, SyntaxError, TypeError) as error:
            raise UsageError(f"bench {self.name!r}: annotation: {error}") from None
        _, *named = inspect.signature(self.run).parameters.values()
        for parameter in named:
            wanted, has_default = hints.get(parameter.name), parameter.default is not parameter.empty
            is_alone = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            follows = self.fit is not None and not has_default and is_alone
            if wanted not in (int, float, bool, str) or not (follows or type(parameter.default) is wanted):
                raise UsageError(
                    f"bench {self.name!r}: parameter {parameter} must be an int, float, bool or str with a "
                    "default of that type, as in m: int = 64, or with none if fit= gives it"
                )
        return {
            parameter.name: (
                hints[parameter.name],
                None if parameter.default is parameter.empty else parameter.default,
            )
            for parameter in named
        }

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters known without a machine: the defaults, with ``given`` (texts are converted) over them."""
        known = {name: default for name, (_, default) in self.parameters.items() if default is not None}
        for name, value in given.items():
            if name not in self.parameters:
                raise UnknownNameError(
                    f"bench {self.name!r} has no parameter {quoted(name)}; {did_you_mean(name, self.parameters)}"
                )
            if value != FOLLOWS or name in known:
                known[name] = _converted(self, name, value, self.parameters[name][0])
        return known

    def fitted(self, known: Mapping[str, Any], room: Room) -> dict[str, Any]:
        """All parameters, in the order of ``run``'s: those of :meth:`bind`, and what follows from the machine.

        Raises:
            UsageError: the machine has too few PEs, or ``fit`` leaves a parameter out.
        """
        if room.n_pes < self.least_pes:
            raise UsageError(
                f"bench {self.name!r} needs {plural(self.least_pes, 'PE')}, and this machine has {room.n_pes}; choose "
                "another one"
            )
        found = dict(self.fit(room, dict(known))) if self.fit is not None else {}
        for name, (wanted, _) in self.parameters.items():
            if name not in known and type(found.get(name)) is not wanted:
                raise UsageError(
                    f"bench {self.name!r}: fit() gives {name}={found.get(name)!r}; parameter {quoted(name)} wants "
                    f"{wanted.__name__}"
                )
        return {name: known[name] if name in known else found[name] for name in self.parameters}

    def params_on(self, graph: TopologyGraph, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters on a machine: what is ``given``, the defaults, and what follows."""
        return self.fitted(self.bind(given), Room.of(graph))

    @property
    def small_params(self) -> dict[str, Any]:
        """What is known of its parameters at its small sizes; UsageError if it has none."""
        if self.small is None:
            sizes = ", ".join(f'"{name}": ...' for name in self.parameters)
            raise UsageError(
                f"bench {self.name!r} has no small sizes; write @bench({self.name!r}, small={{{sizes}}}) with those "
                "at which it runs in less than a second"
            )
        return self.bind(self.small)


def _converted(bench: Bench, name: str, value: Any, wanted: type) -> Any:
    if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    if wanted is bool and str(value).lower() in {"true", "false"}:
        return str(value).lower() == "true"
    try:
        if wanted in {int, float} and isinstance(value, str):
            return wanted(value)
    except ValueError:
        pass
    raise UsageError(
        f"bench {bench.name!r}: parameter {quoted(name)} wants {wanted.__name__}, not {quoted(value)}"
    )


BENCHES: Registry[Bench] = Registry("bench", "a Bench", lambda thing: isinstance(thing, Bench))


def bench(
    name: str, *, fit: Fit | None = None, small: Mapping[str, Any] | None = None, least_pes: int = 1
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Decorator: registers ``run`` as bench ``name``.

    A parameter of ``run`` without a default follows from the machine: ``fit(room, given)`` gives it, from the
    :class:`Room` of the machine and the values of those that are known. ``small`` are sizes for tests; ``least_pes``
    says how many PEs there must be. What it gives back says how it is judged::

        @kb.bench("copy", small={"n": 64})
        def run(torch, n: int = 4096):
            x = kb.random_values(torch, n, dtype="fp32", name="x")
            y = x.to("ahbm")
            expected = lambda: (kb.Expected(values=x.numpy(), tolerance=0.0),)
            return kb.Outcome(outputs=(y,), expected=expected, reference="what was copied", flops=0)

    Raises:
        UsageError: it is no ``run(torch, name: type = default, ...)``, or the name is taken.
    """

    if not is_name(name):
        raise UsageError("@bench needs a name, as in @bench('mine')")

    def enter(run: Callable[..., Outcome]) -> Callable[..., Outcome]:
        if not (fit is None or callable(fit)):
            raise UsageError(f"bench {name!r}: fit must be a function of room and given, not {quoted(fit)}")
        if not (small is None or isinstance(small, Mapping)):
            raise UsageError(f"bench {name!r}: small must be a dict of parameters, not {quoted(small)}")
        whole(least_pes, f"bench {name!r}: least_pes", least=1)
        first = (
            next(iter(inspect.signature(run).parameters.values()), None) if inspect.isfunction(run) else None
        )
        if first is None or first.default is not first.empty:
            raise UsageError(f"bench {quoted(name)}: must be a function whose first parameter is torch")
        entry = Bench(name=name, run=run, fit=fit, small=small, least_pes=least_pes)
        _ = (
            entry.parameters if small is None else entry.small_params
        )  # refused here, where the user's line is
        BENCHES.register(name)(entry)
        return run

    return enter


def load_benches(module: str | None = None) -> Registry[Bench]:
    """The registry with every bench of the package in it, or at least with those of its ``module``."""
    return BENCHES.load("kernbench.benches", module)


def load_bench(wanted: str | Path | Bench) -> Bench:
    """The bench registered as ``wanted``, or the one that the file of that path registers; a bench is itself."""
    if isinstance(wanted, Bench):
        return wanted
    if not isinstance(wanted, (str, Path)):
        raise UsageError(f"{quoted(wanted)} is no bench; give a bench's name or the path of a Python file")
    path = Path(wanted)
    if path.suffix != ".py":
        name = str(wanted)  # which is that of its file, if it ships
        return (load_benches(name) if name in list(load_benches(name)) else load_benches())[name]
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give a bench's name or the path of a Python file")
    load_benches()  # whose names are taken
    source = str(path.resolve())
    try:
        load_plugin(path)
        found = [BENCHES[name] for name in BENCHES.names_from(source)]
    finally:
        BENCHES.forget(source)  # who gives a path needs no name; another file may use it
    if len(found) != 1:
        raise UsageError(f"{path}: registers {len(found)} benches; it must register one with @bench(name)")
    return found[0]
