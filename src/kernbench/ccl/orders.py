"""Orders of ranks: who is next to whom in an algorithm's rings, grids and trees, and the queues between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from kernbench.ccl.wiring import QueuePair
from kernbench.errors import UsageError
from kernbench.theory.group import Group
from kernbench.topology.ids import Position, part_name
from kernbench.topology.levels import TITLES, Coords

Places = tuple[tuple[int, ...], ...]  # of each rank: its place along every axis of a grid of rings
Parents = tuple[int | None, ...]  # of each rank: the rank it hangs on in a tree; None: the root


# -- rings ------------------------------------------------------------------------------------------------------------


def ring_order(group: Group) -> tuple[int, ...]:
    """The ranks in the order of a ring.

    Where they fill a rectangle with two sides of 2 or more and an even number of places, a Hamiltonian cycle: every
    neighbour in the ring is one in the grid, the last and the first too. Otherwise there and back, so that only the way
    from the last to the first is long. By rows or by columns: what leaves SIPs least often, then cubes; else by rows.
    """
    at = {place: rank for rank, place in enumerate(group.coords)}
    rings = [tuple(at[place] for place in ring) for ring in _rings(group)]
    return min(rings, key=lambda ring: _crossings(group, ring))


def _rings(group: Group) -> list[list[Coords]]:
    """The rings through all places, by rows and by columns."""
    xs, ys = _sides(group)
    if is_rectangle(group) and min(len(xs), len(ys)) > 1 and group.n_ranks % 2 == 0:
        by_rows = [_cycle(xs, ys)] if len(ys) % 2 == 0 else []
        return by_rows + ([_turned(_cycle(ys, xs))] if len(xs) % 2 == 0 else [])
    return [_there_and_back(group.coords), _turned(_there_and_back(_turned(group.coords)))]


def _turned(places: Iterable[Coords]) -> list[Coords]:
    return [(y, x) for x, y in places]


def _crossings(group: Group, ring: Sequence[int]) -> tuple[int, ...]:
    """How often a ring leaves a part of each level above the PEs, from the top."""
    pes = [group.pes[rank] for rank in ring]
    steps = list(zip(pes, [*pes[1:], pes[0]], strict=True))
    return tuple(sum(a[:depth] != b[:depth] for a, b in steps) for depth in range(1, len(pes[0])))


def _sides(group: Group) -> tuple[list[int], list[int]]:
    return sorted({x for x, _ in group.coords}), sorted({y for _, y in group.coords})


def is_rectangle(group: Group) -> bool:
    """Whether the ranks are all the PEs of a rectangle of the grid."""
    sides = _sides(group)
    return len(sides[0]) * len(sides[1]) == group.n_ranks and all(
        side == list(range(side[0], side[-1] + 1)) for side in sides
    )


def _cycle(xs: Sequence[int], ys: Sequence[int]) -> list[Coords]:
    """Down the first column at last, the rest row by row there and back; ``ys`` are an even number."""
    first, *others = xs
    rows = [(y, others if i % 2 == 0 else others[::-1]) for i, y in enumerate(ys)]
    return [
        (first, ys[0]),
        *((x, y) for y, row in rows for x in row),
        *((first, y) for y in reversed(ys[1:])),
    ]


def _there_and_back(places: Iterable[Coords]) -> list[Coords]:
    """Row by row, every other one backwards."""
    rows: dict[int, list[Coords]] = {}
    for place in sorted(places, key=lambda place: place[::-1]):
        rows.setdefault(place[1], []).append(place)
    return [place for i, row in enumerate(rows.values()) for place in (row if i % 2 == 0 else row[::-1])]


def ring_queues(group: Group) -> tuple[QueuePair, ...]:
    """Each rank's ``next`` is joined to the ``prev`` of the one behind it in :func:`ring_order`; none for one rank."""
    order = ring_order(group)
    after = {rank: order[(i + 1) % len(order)] for i, rank in enumerate(order)}
    if len(order) < 2:
        return ()
    return (QueuePair("next", "prev", lambda rank, n_ranks: after[rank]),)


def ring_layout(group: Group) -> dict[str, tuple[int, ...]]:
    """``order``: the rank at each place of the ring."""
    return {"order": ring_order(group)}


# -- grids of rings ---------------------------------------------------------------------------------------------------


def torus_places(group: Group) -> Places:
    """Each rank's column and row: the last of a row is next to the first."""
    xs, ys = _sides(group)
    return tuple((x - xs[0], y - ys[0]) for x, y in group.coords)


def mesh_places(group: Group) -> Places:
    """Each rank's place in its row and its column, folded: no two that are neighbours there are more than 2 apart.

    The order along a side of six is 0, 2, 4, 5, 3, 1.
    """
    xs, ys = _sides(group)
    folded = [
        {at: i for i, at in enumerate([*side[::2], *reversed(side[1::2])])} for side in (list(xs), list(ys))
    ]
    return tuple((folded[0][x], folded[1][y]) for x, y in group.coords)


def level_places(group: Group) -> Places:
    """Each rank's place within its cube, of its cube within its SIP, and of its SIP: for each level from the bottom.

    The parts of one parent are in ring order; those of the top level in that of their numbers.
    """
    places: list[list[int]] = [[] for _ in group.pes]
    for depth in range(len(group.pes[0]) - 1, -1, -1):
        for parts in _parts(group, depth).values():
            for i, part in enumerate(_ring_of_parts(group, parts) if depth else parts):
                for rank in parts[part]:
                    places[rank].append(i)
    return tuple(map(tuple, places))


def _parts(group: Group, depth: int) -> dict[Position, dict[Position, list[int]]]:
    """The ranks of each part of the level below ``depth``, by its parent at that depth; both in their order."""
    found: dict[Position, dict[Position, list[int]]] = {}
    for rank, pe in sorted(enumerate(group.pes), key=lambda found: found[1]):
        found.setdefault(pe[:depth], {}).setdefault(pe[: depth + 1], []).append(rank)
    return found


def _ring_of_parts(group: Group, parts: Mapping[Position, Sequence[int]]) -> list[Position]:
    """The parts of one parent in ring order: PEs where they are, larger ones side by side where their first PE is."""
    firsts = [min(group.coords[rank] for rank in ranks) for ranks in parts.values()]
    if any(len(part) < len(group.pes[0]) for part in parts):
        xs, ys = (sorted({place[axis] for place in firsts}) for axis in (0, 1))
        firsts = [(xs.index(x), ys.index(y)) for x, y in firsts]
    inside = Group(tuple(firsts), tuple(group.pes[ranks[0]] for ranks in parts.values()))
    names = list(parts)
    return [names[at] for at in ring_order(inside)]


def ragged_levels(group: Group) -> str | None:
    """Why the ranks are no grid of PEs, cubes and SIPs; None if they are."""
    titles = list(TITLES.values())
    for depth in range(len(titles) - 1, 0, -1):
        counts = {part_name(parent): len(parts) for parent, parts in _parts(group, depth).items()}
        what = "ranks" if depth == len(titles) - 1 else f"{titles[depth]}s"
        (first, n), *others = counts.items()
        for name, count in others:
            if count != n:
                return (
                    f"{first} has {n} {what} and {name} has {count}; every {titles[depth - 1]} needs as many"
                )
    return None


def no_rectangle(group: Group) -> str | None:
    """Why the ranks are no mesh; None if they are."""
    return None if is_rectangle(group) else "the ranks do not fill a rectangle"


def no_torus(group: Group) -> str | None:
    """Why the ranks are no torus; None if they are."""
    is_torus = is_rectangle(group) and min(map(len, _sides(group))) > 1
    return None if is_torus else "the ranks do not fill a rectangle with sides of 2 or more"


def axis_queues(places_of: Callable[[Group], Places]) -> Callable[[Group], tuple[QueuePair, ...]]:
    """``next0``, ``prev0``, ``next1`` ...: the rings along each axis that has more than one place."""

    def queues(group: Group) -> tuple[QueuePair, ...]:
        places = places_of(group)
        at = {place: rank for rank, place in enumerate(places)}
        extents = [1 + max(found) for found in zip(*places, strict=True)]

        def after(axis: int) -> Callable[[int, int], int]:
            def peer(rank: int, n_ranks: int) -> int:
                place = list(places[rank])
                place[axis] = (place[axis] + 1) % extents[axis]
                return at[tuple(place)]

            return peer

        axes = [axis for axis, extent in enumerate(extents) if extent > 1]
        return tuple(QueuePair(f"next{axis}", f"prev{axis}", after(axis)) for axis in axes)

    return queues


def axis_layout(places_of: Callable[[Group], Places]) -> Callable[[Group], dict[str, Places]]:
    """``places``: of each rank, along every axis."""
    return lambda group: {"places": places_of(group)}


# -- trees ------------------------------------------------------------------------------------------------------------


def heap_parents(group: Group) -> Parents:
    """A binary tree on the ring order: place i hangs on place (i - 1) // 2."""
    order = ring_order(group)
    at = {rank: i for i, rank in enumerate(order)}
    return tuple(order[(at[rank] - 1) // 2] if at[rank] else None for rank in range(group.n_ranks))


def double_parents(group: Group) -> tuple[Parents, Parents]:
    """Two binary trees on the ring order: what has children in one is a leaf in the other (NCCL's trees).

    In the first, places with an odd number are leaves. The second is its mirror image, or if their number is odd, the
    first moved by one place.
    """
    order, n = ring_order(group), group.n_ranks
    parents: list[dict[int, int | None]] = [{}, {}]
    for i in range(n):
        up = _parent_place(i, n)
        parents[0][order[i]] = None if up is None else order[up]
        there = [n - 1 - x if n % 2 == 0 else (x + 1) % n for x in (i, *(() if up is None else (up,)))]
        parents[1][order[there[0]]] = order[there[1]] if len(there) > 1 else None
    first, second = (tuple(found[rank] for rank in range(n)) for found in parents)
    return first, second


def _parent_place(i: int, n: int) -> int | None:
    """Place 0 is the root. ``i`` with the lowest bit that is set moved up, or taken away where that is beyond n."""
    bit = i & -i
    if not bit:
        return None
    up = (i ^ bit) | (bit << 1)
    return up if up < n else i ^ bit


def tree_queues(parents: Parents, label: str = "") -> tuple[QueuePair, ...]:
    """``up`` of each rank is joined to ``down0``, ``down1`` ... of its parent, each name behind ``label``."""
    children: list[list[int]] = [[] for _ in parents]
    for rank, parent in enumerate(parents):
        if parent is not None:
            children[parent].append(rank)

    def child(k: int) -> Callable[[int, int], int | None]:
        return lambda rank, n_ranks: children[rank][k] if k < len(children[rank]) else None

    return tuple(QueuePair(f"{label}down{k}", f"{label}up", child(k)) for k in range(max(map(len, children))))


# -- ranks that are a power of two apart ------------------------------------------------------------------------------


def n_powers(n_ranks: int) -> int:
    """Powers of two below ``n_ranks``: log2 of it, rounded up.

    >>> [n_powers(n) for n in (1, 2, 3, 4, 5)]
    [0, 1, 2, 2, 3]
    """
    return (n_ranks - 1).bit_length()


def power_queues(group: Group) -> tuple[QueuePair, ...]:
    """``to0``, ``to1`` ... to the rank 1, 2, 4 ... higher, round from the last to the first; ``from0`` ... back."""

    def higher(k: int) -> Callable[[int, int], int]:
        return lambda rank, n_ranks: (rank + (1 << k)) % n_ranks

    return tuple(QueuePair(f"to{k}", f"from{k}", higher(k)) for k in range(n_powers(group.n_ranks)))


def exchange_queues(n_ranks: int) -> tuple[QueuePair, ...]:
    """``x0``, ``x1`` ... between those of the first ``n_ranks``, a power of two, that differ in bit 0, 1 ..."""

    def other(k: int) -> Callable[[int, int], int | None]:
        return lambda rank, n_all: rank ^ (1 << k) if rank < n_ranks else None

    return tuple(QueuePair(f"x{k}", f"x{k}", other(k)) for k in range(n_powers(n_ranks)))


def even_blocks(n_elem: int, n_ranks: int) -> int:
    """Elements of each of ``n_ranks`` blocks.

    Raises:
        UsageError: they are not all as long.
    """
    if n_elem % n_ranks:
        raise UsageError(
            f"{n_elem} elements are no even blocks for {n_ranks} ranks; give a multiple of {n_ranks} elements"
        )
    return n_elem // n_ranks


def no_power_of_two(group: Group) -> str | None:
    """Why the ranks cannot pair up in every bit of their number; None if they can."""
    return None if group.n_ranks & (group.n_ranks - 1) == 0 else "needs a power of two"
