"""Who is joined to whom: N, S, E and W of the grid of all PEs, and the queues that an algorithm declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from kernbench.config.ccl import CclAlgorithmSpec, CclDefaultsSpec
from kernbench.config.schema import TopologySpec
from kernbench.errors import UsageError
from kernbench.given import MOST_COUNT, whole
from kernbench.lang.callback import Callback
from kernbench.messages.ipcq import Backpressure, BufferKind, QueueEnd, RankSite, RingSpec, Wiring
from kernbench.registry import did_you_mean
from kernbench.topology.ids import PeId
from kernbench.topology.levels import Coords, coords_of, grid_extents
from kernbench.units import MOST_BYTES
from kernbench.wording import is_name, quoted

OPPOSITE = {"N": "S", "S": "N", "E": "W", "W": "E"}
STEP = {"N": (0, -1), "S": (0, 1), "E": (1, 0), "W": (-1, 0)}
Join = tuple[tuple[int, str], tuple[int, str]]  # (rank, name) of either end


class QueuePair(NamedTuple):
    """Queues that an algorithm declares: ``name`` of rank r is joined to ``peer_name`` of rank ``peer(r, n_ranks)``.

    ``peer`` gives None where rank r has no such queue. A ring of ranks, of which one line joins both names:

    >>> ring = QueuePair("next", "prev", lambda rank, n_ranks: (rank + 1) % n_ranks)
    >>> [ring.peer(rank, 4) for rank in range(4)]
    [1, 2, 3, 0]
    """

    name: str
    peer_name: str
    peer: Callable[[int, int], int | None]


def install_queues(
    torch: object,
    queues: Iterable[QueuePair] = (),
    *,
    pes: Sequence[int] | None = None,
    directions: Sequence[str] | None = None,
    settings: CclAlgorithmSpec | None = None,
    buffer_kind: BufferKind | None = None,
    slots: int | None = None,
    slot_bytes: int | None = None,
    backpressure: Backpressure | None = None,
    credit_batch: int | None = None,
    first: int = 0,
) -> Wiring:
    """Install N, S, E, W and ``queues`` on ``pes``, in the order of their ranks (all PEs, if left out).

    ``torch`` is that of a simulation, or its device. ``directions`` are those of N, S, E, W to install (all that the
    machine has, if left out). The rings are as the arguments say, else as the algorithm's ``settings``, else as
    ``ccl.yaml``'s defaults, else as the machine's (``pe.ipcq``). ``first`` is where counters start. Takes simulated
    time; a kernel sees the queues when it is launched with ``queues=`` what this returns, or without it until others
    are installed. ``torch.ahbm.remove_queues`` frees them.

    >>> import kernbench as kb
    >>> torch = kb.simulate("tiny").torch
    >>> queues = install_queues(torch, pes=[0, 1], directions=("E", "W"), slots=2, slot_bytes=1024)
    >>> [list(site.ends) for site in queues.sites.values()]
    [['E'], ['W']]

    Raises:
        UsageError: a PE is listed twice or does not exist, or the declared queues do not match.
        CapacityError: the rings do not fit.
    """
    from kernbench.device.open_device import OpenDevice  # here: who only wires needs no device

    device = torch if isinstance(torch, OpenDevice) else getattr(torch, "ahbm", None)
    if not isinstance(device, OpenDevice):
        raise UsageError(f"install_queues: {quoted(torch)} is no device; give the torch of a simulation")
    ring = ring_of(
        device.spec,
        device.config.ccl.defaults,
        settings,
        {
            "kind": buffer_kind,
            "slots": slots,
            "slot_bytes": slot_bytes,
            "backpressure": backpressure,
            "credit_batch": credit_batch,
        },
        first,
    )
    wiring = wire(device.spec, device.pes, ring, queues, pes=pes, directions=directions)
    return device.install_queues(wiring)


def ring_of(
    spec: TopologySpec,
    defaults: CclDefaultsSpec,
    settings: CclAlgorithmSpec | None,
    given: Mapping[str, Any],
    first: int,
) -> RingSpec:
    """The rings that the first who says something describes: the call, the algorithm, the defaults, the machine."""
    keys = {"kind": "buffer_kind"}
    ipcq = spec.pe.ipcq
    machine = {"kind": ipcq.buffer, "slots": ipcq.slots, "slot_bytes": ipcq.slot_bytes}

    def choose(key: str) -> Any:
        layers = [given.get(key)]
        layers += [getattr(layer, keys.get(key, key)) for layer in (settings, defaults) if layer is not None]
        return next((value for value in layers if value is not None), machine.get(key))

    for key, kinds in (("kind", BufferKind), ("backpressure", Backpressure)):
        name = given.get(key)
        if name is not None and name not in get_args(kinds):
            raise UsageError(
                f"install_queues: unknown {keys.get(key, key)} {quoted(name)}; "
                f"{did_you_mean(name, get_args(kinds))}"
            )
    for key, least in (("slots", 1), ("slot_bytes", 1), ("credit_batch", 1), ("first", 0)):
        number = first if key == "first" else given.get(key)
        if number is not None and not (is_whole(number) and number >= least):
            raise UsageError(f"install_queues: {key}={quoted(number)}; give {least} or more")
        if key != "first" and number is not None and number > MOST_BYTES:
            raise UsageError(f"install_queues: {key}={quoted(number)}; give {MOST_BYTES:,} at most")
    return RingSpec(**{key: choose(key) for key in RingSpec._fields if key != "first"}, first=first)


def wire(
    spec: TopologySpec,
    machine_pes: Sequence[PeId],
    ring: RingSpec,
    queues: Iterable[QueuePair] = (),
    *,
    pes: Sequence[int] | None = None,
    directions: Sequence[str] | None = None,
) -> Wiring:
    """The queue ends of every rank, joined."""
    ranks = checked_ranks(range(len(machine_pes)) if pes is None else pes, machine_pes)
    coords = [coords_of(spec, machine_pes[pe]) for pe in ranks]
    wanted = spec.pe.ipcq.directions if directions is None else directions
    joins = [*grid_joins(spec, coords, wanted), *declared_joins(queues, len(ranks))]
    ends: list[dict[str, QueueEnd]] = [{} for _ in ranks]
    for pair in joins:
        made = [QueueEnd(name=name, pe=ranks[rank], rank=rank, ring=ring) for rank, name in pair]
        for (rank, name), end, peer in zip(pair, made, reversed(made), strict=True):
            end.peer = peer
            ends[rank][name] = end
    sites = {pe: RankSite(r, len(ranks), coords[r], ends[r]) for r, pe in enumerate(ranks)}
    return Wiring(ranks, ring, sites)


def checked_ranks(pes: Sequence[int], machine_pes: Sequence[PeId]) -> Sequence[int]:
    """``pes``, each a PE of the machine and once."""
    if isinstance(pes, str) or not isinstance(pes, Sequence):
        raise UsageError(f"install_queues: pes={quoted(pes)}; give a list of numbers of PEs")
    if not len(pes):
        raise UsageError("install_queues: pes names no PE; name those that are to have queues")
    for rank, pe in enumerate(pes):
        if not (is_whole(pe) and 0 <= pe < len(machine_pes)):
            raise UsageError(
                f"install_queues: rank {rank} is PE {quoted(pe)}, and PEs are 0..{len(machine_pes) - 1}; name "
                "one of them"
            )
    if len(set(pes)) != len(pes):
        twice = next(pe for pe in pes if list(pes).count(pe) > 1)
        raise UsageError(f"install_queues: PE {twice} has two ranks; list each PE once")
    return pes


def grid_joins(spec: TopologySpec, coords: Sequence[Coords], directions: Sequence[str]) -> list[Join]:
    """E of each rank to W of the one beside it, S to N of the one below; around the edges if the machine wraps."""
    if not isinstance(directions, Sequence):
        raise UsageError(f"install_queues: directions={quoted(directions)}; give a list, as in ['E', 'W']")
    for name in directions:
        if name not in spec.pe.ipcq.directions:
            raise UsageError(
                f"install_queues: there is no direction {quoted(name)}; the machine has "
                f"{', '.join(spec.pe.ipcq.directions)}"
            )
        if OPPOSITE[name] not in directions:
            raise UsageError(
                f"install_queues: direction {name!r} is joined to {OPPOSITE[name]!r} of the next PE; give both, or none"
            )
    at = {place: rank for rank, place in enumerate(coords)}
    columns, rows = grid_extents(spec)
    joins: list[Join] = []
    for rank, (x, y) in enumerate(coords):
        for name in ("E", "S"):
            if name not in directions:
                continue
            there = (x + STEP[name][0], y + STEP[name][1])
            if spec.neighbours.wrap:
                there = (there[0] % columns, there[1] % rows)
            peer = at.get(there)
            if peer is not None and peer != rank:
                joins.append(((rank, name), (peer, OPPOSITE[name])))
    return joins


def declared_joins(queues: Iterable[QueuePair], n_ranks: int) -> list[Join]:
    """The joins that an algorithm declares; a pair that is declared from both of its ends is one.

    Raises:
        UsageError: a queue would have two peers, or lead to itself, to no rank, or have a direction's name.
    """
    found: dict[tuple[int, str], tuple[int, str]] = {}
    for pair in checked_pairs(queues):
        if OPPOSITE.keys() & {pair.name, pair.peer_name}:
            raise UsageError(
                f"install_queues: {pair.name!r} and {pair.peer_name!r}: N, S, E and W are the grid's"
            )
        peer_of = Callback(
            f"QueuePair({pair.name!r}, {pair.peer_name!r}).peer",
            pair.peer,
            "the rank at the other end, or None",
            _rank,
            lambda: "install_queues",
        )
        for rank in range(n_ranks):
            peer = peer_of(rank, n_ranks)
            if peer is None:
                continue
            here, there = (rank, pair.name), (peer, pair.peer_name)
            if not 0 <= peer < n_ranks:
                raise UsageError(f"install_queues: {named(here)} leads to rank {quoted(peer)} of {n_ranks}")
            if here == there or peer == rank:
                raise UsageError(f"install_queues: {named(here)} leads to its own rank; give None there")
            for end, other in ((here, there), (there, here)):
                if found.setdefault(end, other) != other:
                    raise UsageError(
                        f"install_queues: {named(end)} is joined to {named(found[end])} and to {named(other)}; "
                        "a queue has one peer: declare one more queue"
                    )
    joins = {tuple(sorted(join)): join for join in found.items()}
    return list(joins.values())


def checked_pairs(queues: Any) -> list[QueuePair]:
    """``queues``, each a pair of names and a function; UsageError where one is something else."""
    pairs = (
        list(queues)
        if isinstance(queues, Iterable) and not isinstance(queues, (str, QueuePair))
        else [queues]
    )
    for pair in pairs:
        if not isinstance(pair, QueuePair):
            raise UsageError(
                f"install_queues: {quoted(pair)} is no QueuePair; give a list of them, as in "
                "[QueuePair('next', 'prev', lambda r, n: (r + 1) % n)]"
            )
        if not (is_name(pair.name) and is_name(pair.peer_name) and callable(pair.peer)):
            raise UsageError(
                f"install_queues: QueuePair({quoted(pair.name)}, {quoted(pair.peer_name)}, {quoted(pair.peer)}) is not "
                "two names and a function that gives the peer's rank"
            )
    return pairs


def _rank(given: Any) -> int | None:
    return None if given is None else whole(given, "rank", least=-MOST_COUNT)


def is_whole(x: Any) -> bool:
    """Whether ``x`` counts something: Python's or NumPy's integer, no bool."""
    return hasattr(x, "__index__") and not isinstance(x, (bool, type))


def named(end: tuple[int, str]) -> str:
    """A queue end in an error."""
    return f"queue {end[1]!r} of rank {end[0]}"
