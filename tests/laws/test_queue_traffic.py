"""Random traffic on random grids: every slot is somewhere at every event, every byte arrives once and in order, and a
run deadlocks where the rules of ADR-0023 say so and nowhere else, with time and without.
"""

import re
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.errors import DeadlockError, QueueError
from kernbench.lang import jit, tl
from kernbench.simulation import Simulation
from tests.laws.queue_kit import Audit, Model, grid

SLOT_ELEMS = 8  # int32: 32 bytes
OPPOSITE = {"N": "S", "S": "N", "E": "W", "W": "E", "next": "prev", "prev": "next"}
GRIDS = [(2, 1), (1, 2), (3, 1), (2, 2), (1, 4), (3, 2), (4, 2), (8, 1), (2, 4)]


class Rings(NamedTuple):
    """What the rings are."""

    depth: int
    batch: int
    kind: str
    backpressure: str
    first: int


class Case(NamedTuple):
    """A machine, its rings, and a program for each rank: see ``Model._step``, with the elements of each message."""

    columns: int
    rows: int
    wrap: bool
    rings: Rings
    programs: tuple[tuple[tuple[Any, ...], ...], ...]


def joined(columns, rows, wrap):
    """Who is joined to whom, worked out anew: the grid's directions, and a ring of all ranks."""
    n, ends = columns * rows, {}
    for rank in range(n):
        x, y = rank % columns, rank // columns
        for name, dx, dy in (("E", 1, 0), ("W", -1, 0), ("S", 0, 1), ("N", 0, -1)):
            there_x, there_y = x + dx, y + dy
            if wrap:
                there_x, there_y = there_x % columns, there_y % rows
            peer = there_y * columns + there_x
            if 0 <= there_x < columns and 0 <= there_y < rows and peer != rank:
                ends[rank, name] = (peer, OPPOSITE[name])
        ends[rank, "next"] = ((rank + 1) % n, "prev")
        ends[rank, "prev"] = ((rank - 1) % n, "next")
    return ends


# -- programs ---------------------------------------------------------------------------------------------------------


class Op:
    """An operation under construction. ``of`` names the message ends that it touches, which order it."""

    def __init__(self, kind: str, of: set[Any], **what: Any) -> None:
        self.kind = kind
        self.of = of
        self.what = what

    def may_swap(self, other: Any) -> bool:
        """Whether the two may change places and mean the same messages."""
        if self.of & other.of:
            return False
        return (self.kind, self.what.get("queue", self)) != (other.kind, other.what.get("queue", other))


class Writer:
    """Writes one rank's program: operations at once, and what follows them a few operations later."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.later: list[list[Any]] = []  # [operations still to pass, operation, those behind it]
        self.held: dict[Any, int] = {}  # received messages that can be sent on, and their elements

    def add(self, op: Op, *behind: tuple[int, Op]) -> None:
        self.ops.append(op)
        if op.kind == "wait" and "recv" in op.what:
            self.held[op.what["recv"]] = op.what["n"]
        if op.kind == "drop":
            self.held.pop(op.what["recv"], None)
        if behind:
            (delay, following), *rest = behind
            self.later.append([delay, following, rest])

    def pass_time(self, by: int = 1) -> None:
        for entry in self.later:
            entry[0] -= by
        while due := next((entry for entry in self.later if entry[0] <= 0), None):
            self.later.remove(due)
            self.add(due[1], *due[2])


@st.composite
def cases(draw, most_messages=14):
    """A case; about half of them come to an end."""
    columns, rows = draw(st.sampled_from(GRIDS))
    wrap = draw(st.booleans())
    rings = Rings(
        depth=draw(st.integers(1, 4)),
        batch=draw(st.sampled_from([1, 1, 1, 2, 3])),
        kind=draw(st.sampled_from(["tcm", "tcm", "sram", "hbm"])),
        backpressure=draw(st.sampled_from(["sleep", "poll"])),
        first=draw(st.sampled_from([0, 2**32 - 3])),
    )
    ends = joined(columns, rows, wrap)
    names = sorted(ends)
    message = st.tuples(
        st.sampled_from(names),
        st.integers(1, 4 * SLOT_ELEMS) | st.integers(1, SLOT_ELEMS),
        st.sampled_from([None, None, 0, 2, 99]),  # send: blocks, or is waited for that much later
        st.sampled_from([None, None, 0, 1, 3]),  # receive: the same
        st.sampled_from([0, 0, 1, 3, 99]),  # how long the block is kept
        st.booleans(),  # sends on what it holds, if it holds anything
    )
    writers = [Writer() for _ in range(columns * rows)]
    for number, (end, n, send_wait, recv_wait, keep, goes_on) in enumerate(
        draw(st.lists(message, min_size=1, max_size=most_messages))
    ):
        rank, queue = end
        peer, name = ends[end]
        sender, receiver = writers[rank], writers[peer]
        source = max(sender.held, default=None) if goes_on else None
        of = {("send", number)}
        if source is not None:
            n = sender.held[source]
            of.add(("recv", source))
        blocks = send_wait is None
        send = Op("send", of, queue=queue, source=source, blocks=blocks, n=n, number=number)
        waits = [] if blocks else [(send_wait, Op("wait", {("send", number)}, send=number))]
        sender.add(send, *waits)
        sender.pass_time()
        of, blocks = {("recv", number)}, recv_wait is None
        recv = Op("recv", of, queue=name, blocks=blocks, n=n, number=number)
        receiver.add(
            recv,
            (0 if blocks else recv_wait, Op("wait", of, recv=number, n=n)),
            (0, Op("store", of, recv=number)),
            (keep, Op("drop", of, recv=number)),
        )
        receiver.pass_time()
    if draw(st.booleans()):
        for writer in writers:
            for _ in range(4):
                writer.pass_time(100)
    for rank, at in draw(
        st.lists(st.tuples(st.sampled_from(range(columns * rows)), st.integers(0, 40)), max_size=12)
    ):
        ops = writers[rank].ops
        if len(ops) > 1:
            at %= len(ops) - 1
            if ops[at].may_swap(ops[at + 1]):
                ops[at], ops[at + 1] = ops[at + 1], ops[at]
    if draw(st.integers(0, 9)) == 0:  # the last message of a queue is not received, or not sent
        _forget_one(draw, writers)
    return Case(columns, rows, wrap, rings, tuple(compiled(writer.ops) for writer in writers))


def _forget_one(draw, writers):
    """Take a send or receive away that is the last of its queue, with all that follows from it."""
    found = []
    for rank, writer in enumerate(writers):
        last = {(op.kind, op.what["queue"]): op for op in writer.ops if op.kind in ("send", "recv")}
        found += [(rank, op) for op in last.values()]
    rank, gone = draw(st.sampled_from(found))
    key = (gone.kind, gone.what["number"])
    if any(op.kind == "send" and key in op.of and op is not gone for op in writers[rank].ops):
        return  # it is sent on
    writers[rank].ops = [
        op for op in writers[rank].ops if key not in op.of or (op.kind == "recv" and op is not gone)
    ]


def compiled(ops):
    """Operations by their place in the program, as the model and the kernel take them."""
    at = {(op.kind, op.what["number"]): i for i, op in enumerate(ops) if op.kind in ("send", "recv")}
    program = []
    for op in ops:
        what = op.what
        n_slots = -(-what.get("n", 1) // SLOT_ELEMS)
        if op.kind == "send":
            source = None if what["source"] is None else at["recv", what["source"]]
            program.append(("send", what["queue"], source, n_slots, what["blocks"], what["n"]))
        elif op.kind == "recv":
            program.append(("recv", what["queue"], n_slots, what["blocks"], what["n"]))
        elif "send" in what:
            program.append(("wait", at["send", what["send"]]))
        else:
            program.append((op.kind, at["recv", what["recv"]]))
    return tuple(program)


def kernel_of(case, places):
    """One kernel that runs each rank's program; ``places[rank, op]`` is where its block is in ``x`` or ``y``."""

    @jit
    def traffic(x_ptr, y_ptr):
        me = tl.rank()
        blocks, futures = {}, {}
        for index, (kind, *rest) in enumerate(case.programs[me]):
            if kind == "send":
                queue, source, _, waits, n = rest
                mine = (
                    blocks[source] if source is not None else tl.load(x_ptr + places[me, index], shape=(n,))
                )
                if waits:
                    tl.send(queue, mine)
                else:
                    futures[index] = tl.send_async(queue, mine)
                del mine
            elif kind == "recv":
                queue, _, waits, n = rest
                if waits:
                    blocks[index] = tl.recv(queue, (n,), "int32")
                else:
                    futures[index] = tl.recv_async(queue, (n,), "int32")
            elif kind == "wait":
                if rest[0] in futures:
                    block = tl.wait(futures.pop(rest[0]))
                    if block is not None:
                        blocks[rest[0]] = block
                    del block
                else:
                    tl.wait(blocks[rest[0]])
            elif kind == "store":
                tl.store(y_ptr + places[me, rest[0]], blocks[rest[0]])
            else:
                del blocks[rest[0]]

    return traffic


class Outcome(NamedTuple):
    """How a case ended, what is in memory, and how many messages were left."""

    verdict: str
    values: Any = None
    n_left: int = 0


def expected(case):
    """What the model says, and the layout: every number that is sent is another one."""
    joins = joined(case.columns, case.rows, case.wrap)
    rings = case.rings
    model = Model(case.programs, joins, depth=rings.depth, batch=rings.batch, in_tcm=rings.kind == "tcm")
    verdict = model.run()
    places, at = {}, 0
    for rank, program in enumerate(case.programs):
        for index, op in enumerate(program):
            if op[0] in ("send", "recv"):
                places[rank, index] = at
                at += op[-1]
    if verdict != "ok":
        n_left = sum(is_first for ring in model.into.values() for _, _, is_first in ring.filled)
        return Outcome(verdict, n_left=n_left if verdict == "left" else 0), places, max(at, 1)
    values = np.zeros(max(at, 1), dtype=np.int32)
    for rank, program in enumerate(case.programs):
        for kind, *rest in program:
            if kind == "store":
                sent, here, n = model.payload[rank, rest[0]], places[rank, rest[0]], program[rest[0]][-1]
                values[here : here + n] = np.arange(places[sent], places[sent] + n) + 1
    return Outcome("ok", values), places, max(at, 1)


def simulated(case, places, n_elem, mode, tie_seed=None):
    """What a run of ``case`` comes to, and its simulation."""
    rings = case.rings
    simulation = Simulation.of(
        "tiny",
        mode=mode,
        tie_seed=tie_seed,
        overrides=grid(
            case.columns,
            case.rows,
            f"neighbours.wrap={str(case.wrap).lower()}",
            "pe.tcm.size=256 KiB",
            "pe.scheduler.tile_queue=256",  # finite places are another law: see test_queue_failures.py
        ),
    )
    torch = simulation.torch
    x = torch.tensor(np.arange(1, n_elem + 1, dtype=np.int32))
    y = torch.zeros(n_elem, dtype="int32")
    wiring = install_queues(
        torch,
        [QueuePair("next", "prev", lambda rank, n: (rank + 1) % n)],
        slots=rings.depth,
        slot_bytes=4 * SLOT_ELEMS,
        buffer_kind=rings.kind,
        backpressure=rings.backpressure,
        credit_batch=rings.batch,
        first=rings.first,
    )
    try:
        torch.launch(kernel_of(case, places), (case.columns * case.rows,), (x, y), queues=wiring)
        torch.synchronize()
    except DeadlockError:
        return Outcome("deadlock"), simulation
    except QueueError as error:
        found = re.match(r"the launch ended with (\d+) messages?", str(error))
        return Outcome("left", n_left=int(found[1])), simulation
    return Outcome("ok", y.numpy()), simulation


def same(here, there):
    """Whether two outcomes are one."""
    if here.verdict != "ok" or there.verdict != "ok":
        return (here.verdict, here.n_left) == (there.verdict, there.n_left)
    return bool((here.values == there.values).all())


# -- the laws ---------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_random_traffic_ends_as_the_model_says_and_every_slot_is_somewhere_at_every_event(case):
    """Nothing is lost, comes twice, comes late or out of its order; credits, slots and bytes balance throughout."""
    due, places, n_elem = expected(case)
    with Audit.watching() as audit:
        timed, simulation = simulated(case, places, n_elem, "timed")
        assert same(timed, due), (timed, due)
        if due.verdict == "ok":
            simulation.machine.engine.run()  # the last credits are on their way
            audit.settled()
            audit.links_carried(simulation)


@settings(max_examples=150, deadline=None)
@given(case=cases(most_messages=24))
def test_mode_data_ends_as_the_model_says(case):
    due, places, n_elem = expected(case)
    data, _ = simulated(case, places, n_elem, "data")
    assert same(data, due), (data, due)


@settings(max_examples=40, deadline=None)
@given(case=cases(), seeds=st.sets(st.integers(0, 2**20), min_size=2, max_size=2))
def test_no_order_of_ties_changes_a_value_or_a_verdict(case, seeds):
    due, places, n_elem = expected(case)
    for seed in sorted(seeds):
        permuted, _ = simulated(case, places, n_elem, "timed", tie_seed=seed)
        assert same(permuted, due), (permuted, due)


@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_the_same_traffic_gives_the_same_op_log(case):
    _, places, n_elem = expected(case)
    first, again = (simulated(case, places, n_elem, "timed")[1].machine for _ in range(2))
    assert first.now_ps == again.now_ps
    assert first.log.sha256() == again.log.sha256()
