"""Trees of ranks: slices go up to the root and are combined, or come down from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kernbench.ccl.kernels.spans import Span, combine, finish, is_same, pass_on, read, receive, write
from kernbench.lang import tl

TURNS_AHEAD = 4  # turns between a rank of a tree and its parent, on the way up and on the way down


class Tree(NamedTuple):
    """A tree as one rank sees it: the queues to its parent (None: it is the root) and children, and its depth."""

    parent: str | None
    children: tuple[str, ...]
    depth: int


def tree_of(parents: Sequence[int | None], label: str) -> Tree:
    """The tree in which rank r hangs on ``parents[r]``; the root has depth 0."""
    me = tl.rank()
    n_children, depth = sum(parent == me for parent in parents), depth_in(parents, me)
    children = tuple(f"{label}down{k}" for k in range(n_children))
    return Tree(f"{label}up" if depth else None, children, depth)


def depth_in(parents: Sequence[int | None], rank: int) -> int:
    """How far ``rank`` is from the root."""
    above = parents[rank]
    return 0 if above is None else 1 + depth_in(parents, above)


def ahead_of(slots: int) -> int:
    """Turns that a rank of a tree is ahead of its parent: as many as its ring from there takes."""
    return min(TURNS_AHEAD, slots)


def tree_turns(
    tree: Tree, pieces: Sequence[Span], src: Any, dst: Any, op: str, n_ranks: int, ahead: int
) -> Iterator[None]:
    """Make ``dst`` of every rank the reduction of ``src``, each slice up the tree and down again.

    In turn i a rank receives slice i from its children, combines it with its own, and sends that to its parent: it is
    reduced over the rank's whole subtree. So the root's is complete; it sends that down at once. The others receive a
    slice that their parent sends down, send it to their children, and store it: at depth d slice i - 2 d ``ahead``.

    It never stands still. Let turn i at depth d be due at i - d ``ahead``. Then what it needs of its children was due
    there ``ahead`` before, and so was the slice that comes from its parent. Of these, ``ahead`` lie in the ring between
    them, which has as many slots. So nothing waits for what is due later.
    """
    lag = 2 * ahead * tree.depth
    for i in range(len(pieces) + lag):
        if i < len(pieces):
            _up(tree, pieces[i], src, dst, op, n_ranks)
        if i >= lag and tree.parent is not None:
            pass_on(tree.parent, tree.children, dst, pieces[i - lag])
        yield


def _up(tree: Tree, piece: Span, src: Any, dst: Any, op: str, n_ranks: int) -> None:
    block = read(src, piece)
    for queue in tree.children:
        block = combine(op, block, receive(queue, piece, src))
    if tree.parent is not None:
        tl.send_async(tree.parent, block)
        return
    block = finish(op, block, n_ranks)
    for queue in tree.children:
        tl.send_async(queue, block)
    write(dst, piece, block)


def broadcast(
    src: Any, dst: Any, pieces: Sequence[Span], parent: str | None, children: Sequence[str]
) -> None:
    """Receive each slice from the queue ``parent`` (None: it is in ``src``), send it to ``children``, store it."""
    for piece in pieces:
        if parent is not None:
            pass_on(parent, children, dst, piece)
            continue
        block = read(src, piece)
        for queue in children:
            tl.send_async(queue, block)
        if not is_same(src, dst):
            write(dst, piece, block)


def reduce(
    src: Any, dst: Any, pieces: Sequence[Span], op: str, parent: str | None, children: Sequence[str]
) -> None:
    """Combine each slice with those of ``children``, in this order; send it to ``parent`` (None: it is complete)."""
    for piece in pieces:
        block = read(src, piece)
        for queue in children:
            block = combine(op, block, receive(queue, piece, src))
        if parent is not None:
            tl.send_async(parent, block)
        else:
            write(dst, piece, finish(op, block, tl.num_ranks()))


def binomial(root: int) -> tuple[str | None, list[str]]:
    """The queues to this rank's parent and children in the binomial tree of all ranks; the furthest child first.

    Place v, rank ``root`` + v, hangs on v without its lowest bit that is set. Queues are those to and from the ranks
    2**k higher.
    """
    n = tl.num_ranks()
    place = (tl.rank() - root) % n
    n_bits = (n - 1).bit_length()
    lowest = (place & -place).bit_length() - 1 if place else n_bits
    children = [f"to{k}" for k in reversed(range(lowest)) if place + (1 << k) < n]
    return (f"from{lowest}" if place else None), children
