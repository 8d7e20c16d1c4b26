"""Schedules of ranks that pair up: a power of two apart, or everybody with everybody."""

from __future__ import annotations

from collections.abc import Iterator

from kernbench.theory.max_plus import Recv, Schedule, Send, Step, Store
from kernbench.theory.schedules.problem import MOST_IN_TCM, SCHEDULES, Problem, even_parts, schedule


@schedule("recursive_doubling_allreduce")
def recursive_doubling_allreduce(problem: Problem) -> list[list[Step]]:
    """All that a rank has, to the one that differs in bit 0, 1 ...; so many slices at a time as a ring and TCM hold."""
    n, at_once = problem.n_ranks, min(problem.slots, MOST_IN_TCM)
    spans, last = problem.slices((0, problem.n_elem)), (n - 1).bit_length() - 1

    def program(rank: int) -> list[Step]:
        steps: list[Step] = []
        for begin in range(0, len(spans), at_once):
            some = spans[begin : begin + at_once]
            steps += [Send(rank ^ 1, span) for span in some]
            for k in range(last + 1):
                for span in some:
                    steps.append(Recv(rank ^ (1 << k), span, True))
                    steps.append(Send(rank ^ (2 << k), span) if k < last else Store(span))
        return steps

    return [program(rank) for rank in range(n)] if n > 1 else [[]]


@schedule("halving_doubling_allreduce")
def halving_doubling_allreduce(problem: Problem) -> list[list[Step]]:
    """Pairs give each other the half that the other keeps; then, back through the same pairs, what they have complete.

    Ranks beyond the largest power of two give all they have to the one that much lower, and get the result from it.
    """
    n, ahead = problem.n_ranks, min(problem.slots, MOST_IN_TCM)
    q = 1 << (n.bit_length() - 1)
    whole = problem.slices((0, problem.n_elem))
    bounds = [part[0] for part in even_parts((0, problem.n_elem), q)] + [problem.n_elem]

    def exchange(
        peer: int, given: tuple[int, int], kept: tuple[int, int], *, reduces: bool
    ) -> Iterator[Step]:
        out, come = (problem.slices((bounds[a], bounds[b])) for a, b in (given, kept))
        for i in range(max(len(out), len(come) + ahead)):
            if i < len(out):
                yield Send(peer, out[i])
            if 0 <= i - ahead < len(come):
                yield from (Recv(peer, come[i - ahead], reduces), Store(come[i - ahead]))

    def program(rank: int) -> list[Step]:
        if rank >= q:
            return [*(Send(rank - q, span) for span in whole), *(Recv(rank - q, span) for span in whole)]
        steps: list[Step] = []
        is_folded = rank + q < n
        if is_folded:
            steps += [step for span in whole for step in (Recv(rank + q, span, True), Store(span))]
        low, high = 0, q
        halvings = []
        while high - low > 1:
            half = (high - low) // 2
            lower, upper = (low, low + half), (low + half, high)
            kept, given = (upper, lower) if rank & half else (lower, upper)
            steps += exchange(rank ^ half, given, kept, reduces=True)
            halvings.append((rank ^ half, kept, given))
            low, high = kept
        for peer, kept, given in reversed(halvings):
            steps += exchange(peer, kept, given, reduces=False)
        if is_folded:
            steps += [Send(rank + q, span) for span in whole]
        return steps

    return [program(rank) for rank in range(n)] if n > 1 else [[]]


@schedule("pairwise_all_to_all")
def pairwise_all_to_all(problem: Problem) -> list[list[Step]]:
    """Rounds in which everybody meets everybody: in round s those whose numbers add up to s, modulo the odd one.

    Who would meet itself meets the last rank, or nobody. Sends are as many slices ahead as a ring and TCM hold.
    Block d of the vector at rank r is what goes from r to d; what comes from s lies in block s of a second vector.
    """
    n, each, ahead = problem.n_ranks, problem.n_elem // problem.n_ranks, min(problem.slots, MOST_IN_TCM)
    odd = n - 1 + n % 2

    def peers(rank: int) -> Iterator[int]:
        for step in range(odd):
            if rank == odd:
                yield next(r for r in range(odd) if 2 * r % odd == step)
            elif (other := (step - rank) % odd) != rank:
                yield other
            elif odd < n:
                yield odd

    def program(rank: int) -> list[Step]:
        todo = [
            (peer, span) for peer in peers(rank) for span in problem.slices((peer * each, (peer + 1) * each))
        ]
        beyond = problem.n_elem
        steps: list[Step] = []
        for i in range(len(todo) + ahead):
            if i < len(todo):
                steps.append(Send(*todo[i]))
            if i >= ahead:
                peer, (low, high) = todo[i - ahead]
                steps.append(Recv(peer, (beyond + low, beyond + high)))
        return steps

    return [program(rank) for rank in range(n)]


@schedule("hello_send")
def hello_send(problem: Problem) -> list[list[Step]]:
    """From rank 0 to rank 1."""
    spans = problem.slices((0, problem.n_elem))
    sender: list[Step] = [Send(1, span) for span in spans]
    receiver: list[Step] = [Recv(0, span) for span in spans]
    return [sender, receiver, *([] for _ in range(problem.n_ranks - 2))]


def dissemination_barrier(problem: Problem) -> Schedule:
    """Nothing but what is known, to the rank 1, 2, 4 ... higher; the next when that of as much lower has come."""
    n = problem.n_ranks
    powers = [1 << k for k in range((n - 1).bit_length())]
    known = (0, 1)

    def program(rank: int) -> list[Step]:
        return [
            step
            for power in powers
            for step in (Send((rank + power) % n, known), Recv((rank - power) % n, known))
        ]

    return Schedule([program(rank) for rank in range(n)], item_bytes=0)


SCHEDULES["dissemination_barrier"] = dissemination_barrier
