"""An algorithm: a collective as a kernel, the queues it needs, and what it claims to send."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from kernbench.ccl.wiring import QueuePair, declared_joins
from kernbench.errors import UsageError
from kernbench.given import whole
from kernbench.lang.callback import Callback
from kernbench.registry import Registry, require_listed
from kernbench.theory.group import COLLECTIVES, Collective, Group
from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem
from kernbench.wording import is_name, plural, quoted

OPS = ("sum", "avg", "max", "min", "prod")
BITWISE = ("band", "bor", "bxor")  # of integers and bools


def everybody(group: Group) -> str | None:
    """What an algorithm for any number of ranks refuses: nothing."""
    return None


def nothing(group: Group) -> Mapping[str, Any]:
    """What an algorithm that follows the ranks' own order tells its kernel: nothing."""
    return {}


def vector(world_size: int, n_elem: int) -> Mapping[str, Any]:
    """Arguments of a kernel on a vector: its elements."""
    return {"n_elem": n_elem}


def not_known(problem: Problem, model: IdealModel) -> Fraction | None:
    """Closed form of an algorithm for which none is known."""
    return None


class Small(NamedTuple):
    """A size that tests take: ``n_ranks`` PEs of a cube, as square as can be, and ``n_elem`` of the smaller buffer."""

    n_ranks: int
    n_elem: int


def _arguments(given: Any) -> Mapping[str, Any]:
    found = dict(given)
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in found):
        raise TypeError
    return found


def _pairs(given: Any) -> tuple[QueuePair, ...]:
    pairs = tuple(given)
    if not all(isinstance(pair, QueuePair) for pair in pairs):
        raise TypeError
    return pairs


def _time(given: Any) -> Fraction | None:
    if not (given is None or (isinstance(given, (int, Fraction)) and given >= 0)):
        raise TypeError
    return None if given is None else Fraction(given)


def _reason(given: Any) -> str | None:
    if not (given is None or is_name(given)):
        raise TypeError
    return None if given is None else str(given)


_CALLBACKS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "kernel_args": ("a dict of arguments of the kernel, as in {'n_elem': n_elem}", _arguments),
    "layout": ("a dict of arguments of the kernel, as in {'columns': 4}", _arguments),
    "queues": ("a tuple of QueuePairs, as in (QueuePair('next', 'prev', lambda r, n: (r + 1) % n),)", _pairs),
    "elems_sent": (
        "how many elements all ranks send, a whole number, 0 or more",
        partial(whole, what="elems_sent"),
    ),
    "refuses": ("None, or the reason in a line", _reason),
    "closed_form": ("a Fraction of picoseconds, or None where it does not hold", _time),
}
"""What the functions of an algorithm give, and how it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """One registered way to do a collective.

    ``kernel(src, dst, *, ...)`` runs on every rank; ``src`` and ``dst`` point to the rank's own tensors, which may be
    the same. Its further arguments are what ``kernel_args(world_size, n_elem)`` and ``layout(group)`` give, and of
    ``op`` (one of :data:`OPS` or :data:`BITWISE`), ``root`` (a rank), ``slice_elems`` (elements that one slot holds)
    and ``slots`` (of a ring, less those whose credits may have to wait for a batch) those it names. ``n_elem`` are the
    elements of the smaller buffer of a rank.

    ``queues(group)`` are the queues to install besides the grid's ``directions``. ``elems_sent(world_size, n_elem)`` is
    what all ranks together send. ``refuses(group)`` says why it cannot serve a group (None: it can).

    ``closed_form(problem, model)`` is the time in ps by theory, None where it does not hold; it is asked about two
    ranks or more that move something, on links that are all alike. ``source`` is the literature that it is from, or
    why there is none. ``is_crossbar`` says that it is for one egress port per rank, not for a link to each peer.
    ``small`` is a size at which it holds, in one slice: what tests of the algorithm take.

    Raises:
        UnknownNameError: there is no such collective.
        UsageError: the source or the small size is missing, or something is of another kind; says what to write.
    """

    collective: Collective
    kernel: Callable[..., None]
    queues: Callable[[Group], tuple[QueuePair, ...]]
    elems_sent: Callable[[int, int], int]
    source: str = ""
    small: Small | None = None
    closed_form: Callable[[Problem, IdealModel], Fraction | None] = field(default=not_known)
    kernel_args: Callable[[int, int], Mapping[str, Any]] = field(default=vector)
    directions: tuple[str, ...] = ()
    layout: Callable[[Group], Mapping[str, Any]] = field(default=nothing)
    refuses: Callable[[Group], str | None] = field(default=everybody)
    is_crossbar: bool = False

    @property
    def doc(self) -> str:
        """The first line of the kernel's file, which says what it is; of one without, the kernel's own."""
        module_doc = getattr(inspect.unwrap(self.kernel), "__globals__", {}).get("__doc__")
        return ((module_doc or inspect.getdoc(self.kernel) or "").strip().splitlines() or [""])[0]

    @property
    def serves_any(self) -> bool:
        """Whether it refuses no group, of whatever shape and number."""
        return isinstance(self.refuses, Callback) and self.refuses.function is everybody

    @property
    def has_closed_form(self) -> bool:
        """Whether a closed form is stated."""
        return isinstance(self.closed_form, Callback) and self.closed_form.function is not not_known

    def closed_time(self, problem: Problem, model: IdealModel) -> Fraction | None:
        """Time by the closed form, in ps; None where that does not hold, or was not made for."""
        is_nothing = problem.n_ranks == 1 or (problem.n_elem == 0 and self.collective != "barrier")
        if is_nothing or model.ways or model.is_crossbar != self.is_crossbar:
            return None
        return self.closed_form(problem, model)

    def __post_init__(self) -> None:
        require_listed("collective", self.collective, COLLECTIVES)
        for name, (wanted, read) in _CALLBACKS.items():
            given = getattr(self, name)
            function = given.function if isinstance(given, Callback) else given
            if not callable(function):
                raise UsageError(
                    f"Algorithm: {name} must be a function that gives {wanted}, not {quoted(given)}"
                )
            object.__setattr__(self, name, Callback(name, function, wanted, read, self._named))
        if not inspect.isroutine(inspect.unwrap(self.kernel)):
            raise UsageError(f"Algorithm: kernel must be a function, not {quoted(self.kernel)}")
        if not isinstance(self.directions, (tuple, list, str)) or not all(
            isinstance(d, str) for d in self.directions
        ):
            raise UsageError(
                f"Algorithm: directions must be a tuple, as in ('E', 'W'), not {quoted(self.directions)}"
            )
        if not isinstance(self.is_crossbar, bool):
            raise UsageError(f"Algorithm: is_crossbar must be True or False, not {quoted(self.is_crossbar)}")
        if not is_name(self.source):
            raise UsageError(
                "Algorithm: closed_form has no source; write the literature that it is from, as in source='Patarasuk "
                "and Yuan 2009', or why none is known"
            )
        if not isinstance(self.small, Small):
            raise UsageError(
                "Algorithm: there is no small size; write one for tests, at which closed_form holds, as in "
                "small=Small(n_ranks=4, n_elem=64)"
            )

    def pairs(self, group: Group) -> tuple[QueuePair, ...]:
        """The queues of a group, which can be joined.

        Raises:
            UsageError: they cannot; names the line that declares them.
        """
        pairs = self.queues(group)
        try:
            declared_joins(pairs, group.n_ranks)
        except UsageError as error:
            place, _, what = str(error).rpartition("install_queues: ")
            at_function = self.queues.place if isinstance(self.queues, Callback) else ""
            raise UsageError(f"{place or at_function}{self._named()}: {what}") from None
        return pairs

    def _named(self) -> str:
        """The algorithm in an error."""
        names = [name for name in ALGORITHMS if ALGORITHMS[name] is self]
        return f"algorithm {names[0]}" if names else f"an algorithm for {self.collective}"


ALGORITHMS: Registry[Algorithm] = Registry(
    "algorithm", "an Algorithm", lambda thing: isinstance(thing, Algorithm)
)


def load_algorithms() -> Registry[Algorithm]:
    """The registry, with every algorithm of the package in it that is without a mistake."""
    return ALGORITHMS.load("kernbench.ccl.algorithms")


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
        f"{name} cannot serve {plural(group.n_ranks, 'rank')}: {reason}; of {algorithm.collective}, "
        f"{', '.join(able) or 'none'} can"
    )
