"""An algorithm: a collective as a kernel, the queues it needs, and what it claims to send."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args

from kernbench.ccl.wiring import Coords, QueuePair, coords_of
from kernbench.config.schema import TopologySpec
from kernbench.errors import UnknownNameError, UsageError
from kernbench.registry import Registry, did_you_mean
from kernbench.topology.ids import PeId
from kernbench.wording import quoted

Collective = Literal[
    "all_reduce",
    "reduce_scatter",
    "all_gather",
    "broadcast",
    "reduce",
    "all_to_all",
    "barrier",
    "send_recv",
]
COLLECTIVES: tuple[Collective, ...] = get_args(Collective)
OPS = ("sum", "avg", "max", "min", "prod")
BITWISE = ("band", "bor", "bxor")  # of integers and bools


@dataclass(frozen=True, slots=True)
class Group:
    """The PEs that take part, by rank: ``coords[r]`` is rank r's place in the grid of all PEs, ``pes[r]`` its PE."""

    coords: tuple[Coords, ...]
    pes: tuple[PeId, ...]

    @property
    def n_ranks(self) -> int:
        """How many they are."""
        return len(self.pes)


def group_of(spec: TopologySpec, machine_pes: Sequence[PeId], pes: Sequence[int]) -> Group:
    """The group whose rank r is PE number ``pes[r]`` of a machine."""
    names = tuple(machine_pes[pe] for pe in pes)
    return Group(tuple(coords_of(spec, name) for name in names), names)


def everybody(group: Group) -> str | None:
    """What an algorithm for any number of ranks refuses: nothing."""
    return None


def nothing(group: Group) -> Mapping[str, Any]:
    """What an algorithm that follows the ranks' own order tells its kernel: nothing."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """One registered way to do a collective.

    ``kernel(src, dst, *, ...)`` runs on every rank; ``src`` and ``dst`` point to the rank's own tensors, which may be
    the same. Its further arguments are what ``kernel_args(world_size, n_elem)`` and ``layout(group)`` give, and of
    ``op`` (one of :data:`OPS` or :data:`BITWISE`), ``root`` (a rank), ``slice_elems`` (elements that one slot holds)
    and ``slots`` (of a ring, less those whose credits may have to wait for a batch) those it names. ``n_elem`` are the
    elements of the smaller buffer of a rank.

    ``queues(group)`` are the queues to install besides the grid's ``directions``. ``elems_sent(world_size, n_elem)`` is
    what all ranks together send. ``refuses(group)`` says why it cannot serve a group (None: it can). ``is_crossbar``
    says that its closed form is for one egress port per rank, not for a link to each peer.

    Raises:
        UnknownNameError: there is no such collective.
    """

    collective: Collective
    kernel: Callable[..., None]
    kernel_args: Callable[[int, int], Mapping[str, Any]]
    queues: Callable[[Group], tuple[QueuePair, ...]]
    elems_sent: Callable[[int, int], int]
    directions: tuple[str, ...] = ()
    layout: Callable[[Group], Mapping[str, Any]] = field(default=nothing)
    refuses: Callable[[Group], str | None] = field(default=everybody)
    is_crossbar: bool = False

    @property
    def doc(self) -> str:
        """The first line of the kernel's file, which says what it is; of one without, the kernel's own."""
        module_doc = getattr(inspect.unwrap(self.kernel), "__globals__", {}).get("__doc__")
        return ((module_doc or inspect.getdoc(self.kernel) or "").strip().splitlines() or [""])[0]

    def __post_init__(self) -> None:
        if self.collective not in COLLECTIVES:
            raise UnknownNameError(
                f"unknown collective {quoted(self.collective)}; {did_you_mean(self.collective, COLLECTIVES)}"
            )


ALGORITHMS: Registry[Algorithm] = Registry(
    "algorithm", "an Algorithm", lambda thing: isinstance(thing, Algorithm)
)


@cache
def load_algorithms() -> Registry[Algorithm]:
    """Import every algorithm of the package, so that it is registered; gives the registry."""
    package = importlib.import_module("kernbench.ccl.algorithms")
    for module in pkgutil.iter_modules(package.__path__, "kernbench.ccl.algorithms."):
        importlib.import_module(module.name)
    return ALGORITHMS


def require_served(name: str, group: Group) -> Algorithm:
    """The algorithm ``name``, if it can serve ``group``.

    Raises:
        UnknownNameError: there is none of that name.
        UsageError: it cannot; says why, and which algorithms for the same collective can.
    """
    algorithm = load_algorithms()[name]
    reason = algorithm.refuses(group)
    if reason is None:
        return algorithm
    able = [
        other
        for other in ALGORITHMS
        if ALGORITHMS[other].collective == algorithm.collective and ALGORITHMS[other].refuses(group) is None
    ]
    raise UsageError(
        f"{name} cannot serve {group.n_ranks} ranks: {reason}; of {algorithm.collective}, "
        f"{', '.join(able) or 'none'} can"
    )
