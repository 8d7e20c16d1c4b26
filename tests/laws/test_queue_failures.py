"""Every known way for queues to fail is provoked: it is mapped, refused or slow, and never a wrong value or silence."""

import inspect

import numpy as np
import pytest

from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.components.pe.pe_tcm import PeTcm
from kernbench.engine.reference.memory import MemoryServer
from kernbench.errors import DeadlockError, DTypeError, QueueError, ShapeError
from kernbench.lang import jit, tl
from kernbench.machine.queue_ends import ipcqs
from kernbench.messages.ipcq import IpcqDmaToken
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation
from kernbench.topology.routes import Routes
from kernbench.units import format_ps
from tests.engines import require_reference
from tests.laws.queue_kit import (
    IDEAL,
    Audit,
    Model,
    Stream,
    Way,
    arrivals,
    credit_queue,
    grid,
    records,
    run,
)

MODES = ["timed", "data"]
HERE = "test_queue_failures.py"
RING = [QueuePair("next", "prev", lambda rank, n: (rank + 1) % n)]


def ring(n=None, **rings):
    """A ring of the first ``n`` PEs; slots of 64 bytes unless said."""
    rings = {"slot_bytes": 64, **rings}

    def wiring_of(torch):
        return install_queues(torch, RING, pes=None if n is None else range(n), directions=[], **rings)

    return wiring_of


def lines_of(kernel, *texts):
    """``FILE:line`` of the first line of ``kernel`` that contains each text."""
    source, first = inspect.getsourcelines(kernel.fn)
    return [f"{HERE}:{first + next(i for i, s in enumerate(source) if text in s)}" for text in texts]


def numbers(rows, columns, dtype="int32"):
    """Different numbers everywhere."""
    return np.arange(1, rows * columns + 1, dtype=dtype).reshape(rows, columns)


# -- all send first ---------------------------------------------------------------------------------------------------


@jit
def shift_kernel(x_ptr, y_ptr, SLOTS: tl.constexpr):
    """Every rank sends its block of ``SLOTS`` slots, then receives its neighbour's."""
    me, n = tl.rank(), 16 * SLOTS
    tl.send("next", tl.load(x_ptr + me * n, shape=(n,)))
    tl.recv("prev", (n,), "int32", dst=y_ptr + me * n)


@jit
def parity_kernel(x_ptr, y_ptr, SLOTS: tl.constexpr):
    """The same, but odd ranks receive first."""
    me, n = tl.rank(), 16 * SLOTS
    if me % 2:
        tl.recv("prev", (n,), "int32", dst=y_ptr + me * n)
    tl.send("next", tl.load(x_ptr + me * n, shape=(n,)))
    if me % 2 == 0:
        tl.recv("prev", (n,), "int32", dst=y_ptr + me * n)


def shifted(kernel, s, mode, depth, n=4):
    """Run a shift of blocks of ``s`` slots through rings of ``depth``."""
    x = numbers(n, 16 * s)
    simulation = run(
        kernel,
        ring(n, slots=depth),
        lambda torch: (torch.tensor(x), torch.zeros(n, 16 * s, dtype="int32"), s),
        mode=mode,
    )
    assert (simulation.tensors[1].numpy() == np.roll(x, 1, axis=0)).all()


@pytest.mark.parametrize("s", [2, 3, 5])
def test_all_send_first_with_a_slot_too_few_is_mapped(s):
    simulation = Simulation.of("tiny")
    torch = simulation.torch
    x, y = torch.zeros(4, 16 * s, dtype="int32"), torch.zeros(4, 16 * s, dtype="int32")
    wiring = ring(slots=s - 1)(torch)
    torch.launch(shift_kernel, (4,), (x, y, s), queues=wiring)
    with pytest.raises(DeadlockError) as stuck:
        torch.synchronize()
    (at,) = lines_of(shift_kernel, "tl.send")
    expected = [f"nothing is left to happen at {format_ps(simulation.machine.now_ps)}, and these wait:"]
    for pe in range(4):
        slots = records(simulation, OpCode.SLOT, pe)
        assert len(slots) == s - 1
        peer = f"sip0.cube0.pe{(pe + 1) % 4}"
        expected += [
            f"sip0.cube0.pe{pe}.pe_cpu  waits for send at {at}; 1 command not complete",
            f"sip0.cube0.pe{pe}.pe_scheduler  {at}: send, 1 of {s} tiles left",
            f"sip0.cube0.pe{pe}.pe_ipcq  tl.send(\"next\") at {at} waits for a credit from {peer}'s queue 'prev': "
            f"{s - 1} of {s - 1} slots filled, 0 of {s - 1} credits held; last progress at "
            f"{format_ps(slots[-1].end_ps)}",
        ]
    expected.append("cycle: " + " -> ".join(f"sip0.cube0.pe{pe}" for pe in (0, 1, 2, 3, 0)))
    assert str(stuck.value).split("\n  ") == expected


@pytest.mark.parametrize("s", [2, 3, 5])
def test_all_send_first_with_a_slot_too_few_is_mapped_without_time(s):
    with pytest.raises(DeadlockError) as stuck:
        shifted(shift_kernel, s, "data", s - 1)
    (at,) = lines_of(shift_kernel, "tl.send")
    assert str(stuck.value).split("\n  ") == [
        "4 PEs wait for each other for ever:",
        *(
            f'sip0.cube0.pe{pe}  tl.send("next") at {at} waits for a credit from sip0.cube0.pe{(pe + 1) % 4}\'s queue '
            f"'prev': {s - 1} of {s - 1} slots filled, 0 of {s - 1} credits held"
            for pe in range(4)
        ),
        "cycle: " + " -> ".join(f"sip0.cube0.pe{pe}" for pe in (0, 1, 2, 3, 0)),
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("s", [1, 2, 3, 5])
def test_as_many_slots_as_a_message_takes_are_enough(s, mode):
    shifted(shift_kernel, s, mode, depth=s)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("s", [1, 2, 3, 5])
def test_in_parity_order_one_slot_is_enough(s, mode):
    shifted(parity_kernel, s, mode, depth=1)


@jit
def cross_kernel(x_ptr):
    """Two ranks that both receive first."""
    tl.recv("E" if tl.rank() == 0 else "W", (4,), "int32")
    tl.send("E" if tl.rank() == 0 else "W", tl.load(x_ptr, shape=(4,)))


def test_a_cycle_of_receives_is_mapped_with_the_credits_of_either():
    at, *_ = lines_of(cross_kernel, "tl.recv")
    simulation = Simulation.of("tiny")
    torch = simulation.torch
    wiring = install_queues(torch, pes=[0, 1], slots=2)
    installed_ps = [records(simulation, OpCode.CONTROL, pe)[-1].end_ps for pe in (0, 1)]
    torch.launch(cross_kernel, (2,), (torch.zeros(4, dtype="int32"),), queues=wiring)
    with pytest.raises(DeadlockError) as stuck:
        torch.synchronize()
    ipcq = [line for line in str(stuck.value).split("\n  ") if ".pe_ipcq" in line or line.startswith("cycle")]
    assert ipcq == [
        f"sip0.cube0.pe0.pe_ipcq  tl.recv(\"E\") at {at} waits for a message from sip0.cube0.pe1's queue 'W': "
        f"0 of 2 slots filled, 2 of 2 credits held; last progress at {format_ps(installed_ps[0])}",
        f"sip0.cube0.pe1.pe_ipcq  tl.recv(\"W\") at {at} waits for a message from sip0.cube0.pe0's queue 'E': "
        f"0 of 2 slots filled, 2 of 2 credits held; last progress at {format_ps(installed_ps[1])}",
        "cycle: sip0.cube0.pe0 -> sip0.cube0.pe1 -> sip0.cube0.pe0",
    ]


# -- credits withheld -------------------------------------------------------------------------------------------------


@jit
def laps_kernel(x_ptr, y_ptr, LAPS: tl.constexpr, SLOTS: tl.constexpr):
    """Every rank sends, then receives, ``LAPS`` times; what it receives it lets go at once, but for the last."""
    me, n = tl.rank(), 16 * SLOTS
    for lap in tl.static_range(LAPS):
        tl.send("next", tl.load(x_ptr + (me * LAPS + lap) * n, shape=(n,)))
        tl.store(y_ptr + (me * LAPS + lap) * n, tl.recv("prev", (n,), "int32"))


LAPS = 7


def laps(depth, s, q, mode, n=3):
    """Whether the laps come to an end; they must be right then."""
    x = numbers(n, LAPS * 16 * s)
    try:
        simulation = run(
            laps_kernel,
            ring(n, slots=depth, credit_batch=q),
            lambda torch: (torch.tensor(x), torch.zeros(*x.shape, dtype="int32"), LAPS, s),
            mode=mode,
            overrides=("pe.tcm.size=256 KiB",),
        )
    except DeadlockError:
        return False
    assert (simulation.tensors[1].numpy() == np.roll(x, 1, axis=0)).all()
    return True


def laps_of_the_model(depth, s, q, n=3):
    """The same, of the model without time."""
    program = [
        op
        for i in range(1, 4 * LAPS, 4)
        for op in (("send", "next", None, s, True), ("recv", "prev", s, True), ("store", i), ("drop", i))
    ]
    joins = {}
    for rank in range(n):
        joins[rank, "next"], joins[(rank + 1) % n, "prev"] = ((rank + 1) % n, "prev"), (rank, "next")
    return Model([program] * n, joins, depth=depth, batch=q, in_tcm=True).run() == "ok"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("depth", "s", "q"), [(4, 1, 5), (5, 4, 3)])
def test_credits_withheld_stop_a_ring(depth, s, q, mode):
    """Five credits never come together in four slots; four that are needed are not where two are withheld."""
    assert not laps(depth, s, q, mode)
    assert laps(s + q - 1, s, q, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("q", [1, 2, 3, 5])
def test_s_and_q_less_one_slots_are_always_enough(s, q, mode):
    """... and with fewer, a ring stops exactly where the model says."""
    verdicts = {depth: laps(depth, s, q, mode) for depth in range(1, s + q + 1)}
    assert verdicts == {depth: laps_of_the_model(depth, s, q) for depth in verdicts}
    assert all(ends for depth, ends in verdicts.items() if depth >= s + q - 1)
    if s + q > 2:
        assert not all(verdicts.values())


@jit
def flood_kernel(x_ptr, y_ptr, N: tl.constexpr):
    """Rank 0 sends ``N`` blocks of a slot to rank 1."""
    for i in tl.static_range(N):
        if tl.rank() == 0:
            tl.send("next", tl.load(x_ptr + i * 16, shape=(16,)))
        else:
            tl.store(y_ptr + i * 16, tl.recv("prev", (16,), "int32"))


def flood(n, mode="timed", overrides=(), topology="tiny", **rings):
    """A stream of ``n`` blocks between two PEs; they must all be right."""
    x = numbers(n, 16)
    simulation = run(
        flood_kernel,
        ring(2, **rings),
        lambda torch: (torch.tensor(x), torch.zeros(n, 16, dtype="int32"), n),
        mode=mode,
        overrides=overrides,
        topology=topology,
    )
    assert (simulation.tensors[1].numpy() == x).all()
    return simulation


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("q", range(1, 6))
def test_a_stream_of_single_slots_is_delivered_if_a_batch_fits_the_ring(q, mode):
    for depth in range(1, 7):
        if depth >= q:
            flood(2 * depth + q, mode, slots=depth, credit_batch=q)
        else:
            flood(depth, mode, slots=depth, credit_batch=q)  # the end of the program gives them back
            with pytest.raises(DeadlockError, match=f"0 of {depth} credits held"):
                flood(depth + 1, mode, slots=depth, credit_batch=q)


def test_no_credit_is_lost_or_doubled_in_a_thousand_messages():
    with Audit.watching() as audit:
        simulation = flood(1000, slots=3, credit_batch=2, overrides=("pe.tcm.size=1 MiB",))
        audit.settled()
    assert sum(audit.pushed.values()) == 1000
    assert simulation.machine.engine.events < audit.n_checks + 1


# -- slots that are held ----------------------------------------------------------------------------------------------


TALK = [
    QueuePair("out", "in", lambda rank, n: {0: 1}.get(rank)),
    QueuePair("on", "on_in", lambda rank, n: {1: 2}.get(rank)),
    QueuePair("go", "go_in", lambda rank, n: {0: 2}.get(rank)),
    QueuePair("word", "word_in", lambda rank, n: {0: 1}.get(rank)),
]


@jit
def jump_kernel(x_ptr, y_ptr, DEPTH: tl.constexpr, MORE: tl.constexpr):
    """Rank 1 keeps the oldest of DEPTH blocks until the others are gone; then rank 0 sends MORE before a word of it."""
    if tl.rank() == 0:
        for i in tl.static_range(DEPTH + MORE):
            tl.send("out", tl.load(x_ptr + i * 16, shape=(16,)))
        tl.send("word", tl.load(x_ptr, shape=(16,)))
    elif tl.rank() == 1:
        oldest = tl.recv("in", (16,), "int32")
        for i in tl.static_range(DEPTH - 1):
            tl.store(y_ptr + (i + 1) * 16, tl.recv("in", (16,), "int32"))
        tl.store(y_ptr, oldest)
        del oldest
        tl.recv("word_in", (16,), "int32")
        for i in tl.static_range(MORE):
            tl.store(y_ptr + (DEPTH + i) * 16, tl.recv("in", (16,), "int32"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("depth", "q"), [(4, 1), (4, 2), (4, 3), (7, 3), (7, 5)])
def test_slots_freed_out_of_turn_come_back_in_turn_and_in_batches(depth, q, mode):
    """The oldest slot's death frees all behind it at once: as many whole batches as there are come back, no more."""
    x = numbers(2 * depth, 16)

    def talk(more):
        simulation = run(
            jump_kernel,
            lambda torch: install_queues(
                torch, TALK, pes=[0, 1, 2], directions=[], slots=depth, slot_bytes=64, credit_batch=q
            ),
            lambda torch: (torch.tensor(x), torch.zeros(*x.shape, dtype="int32"), depth, more),
            mode=mode,
            overrides=("pe.tcm.size=256 KiB",),
        )
        assert (simulation.tensors[1].numpy()[: depth + more] == x[: depth + more]).all()

    returned = depth // q * q
    talk(returned)
    if returned < depth:
        with pytest.raises(DeadlockError, match=f"0 of {depth} credits held"):
            talk(returned + 1)


@jit
def reader_kernel(x_ptr, y_ptr, KEEPS: tl.constexpr):
    """Rank 1 sends its block on and forgets it; rank 0 needs its slot before it tells rank 2 to make room."""
    block = tl.load(x_ptr, shape=(16,))
    if tl.rank() == 0:
        tl.send("out", block)
        tl.send("out", block)
        tl.send("go", block)
    elif tl.rank() == 1:
        if KEEPS:
            tl.send("on", block)  # its only slot is in use
        tl.send_async("on", tl.recv("in", (16,), "int32"))
        tl.recv("in", (16,), "int32")
    else:
        tl.recv("go_in", (16,), "int32")
        if KEEPS:
            tl.recv("on_in", (16,), "int32")
        tl.recv("on_in", (16,), "int32", dst=y_ptr)


@pytest.mark.parametrize("mode", MODES)
def test_a_slot_that_waits_to_be_sent_on_is_in_use_though_its_block_is_dead(mode):
    x = numbers(1, 16)
    for kind, keeps, ends in (("tcm", False, True), ("tcm", True, False), ("sram", True, True)):
        try:
            simulation = run(
                reader_kernel,
                lambda torch, kind=kind: install_queues(
                    torch, TALK, pes=[0, 1, 2], directions=[], slots=1, slot_bytes=64, buffer_kind=kind
                ),
                lambda torch, keeps=keeps: (torch.tensor(x), torch.zeros(1, 16, dtype="int32"), keeps),
                mode=mode,
            )
            assert ends
            assert (simulation.tensors[1].numpy() == x).all()
        except DeadlockError:
            assert not ends


# -- counters that wrap, slots that are used again --------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("first", [2**32 - 5, 2**64 - 5])
@pytest.mark.parametrize("depth", [1, 2, 3, 8])
@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
def test_counters_pass_32_and_64_bits(kind, depth, first, mode):
    """More than two turns of the ring, every block another one, and the counters pass the border on the way."""
    n = 2 * depth + 11
    simulation = flood(n, mode, slots=depth, first=first, buffer_kind=kind)
    assert first < 2**32 < first + n or first < 2**64 < first + n
    if mode == "timed":
        tails = [
            rings.send_ring.tail
            for unit in ipcqs(simulation.machine.assembly)
            for rings in unit.rings.values()
        ]
        assert max(tails) == first + n
        plain = flood(n, mode, slots=depth, buffer_kind=kind)
        assert arrivals(simulation, 1) == arrivals(plain, 1)
        assert simulation.machine.log.sha256() == plain.machine.log.sha256()


@pytest.mark.parametrize("kind", ["sram", "hbm"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_slots_in_memory_are_used_in_turn_and_are_apart(kind, depth, monkeypatch):
    """Message ``i`` is written to, and read from, slot ``(first + i) % depth`` of its ring."""
    require_reference()
    written, read = [], []
    land, serve = MemoryServer._land, MemoryServer._read

    def lands(unit, transaction):
        if isinstance(transaction.tag, IpcqDmaToken):
            written.append(transaction.piece.pa)
        land(unit, transaction)

    def reads(unit, transaction):
        if getattr(transaction.tag, "stage", None) and transaction.tag.stage.kind is OpCode.DRAIN:
            read.append(transaction.piece.pa)
        serve(unit, transaction)

    monkeypatch.setattr(MemoryServer, "_land", lands)
    monkeypatch.setattr(MemoryServer, "_read", reads)
    n, first = 3 * depth + 2, 2**32 - 2
    simulation = flood(n, slots=depth, first=first, buffer_kind=kind)
    ends = simulation.wiring.sites[1].ends
    base = ends["prev"].pa
    assert written == [base + (first + i) % depth * 64 for i in range(n)]
    assert read == written
    all_ends = [end for site in simulation.wiring.sites.values() for end in site.ends.values()]
    rings = sorted((end.pa, end.pa + depth * 64) for end in all_ends)
    assert all(stop <= start for (_, stop), (start, _) in zip(rings, rings[1:]))


@jit
def late_kernel(x_ptr, y_ptr, N: tl.constexpr, DELAYS: tl.constexpr):
    """Rank 1 looks at each block only after some work of its own, with the slots still in use."""
    for i in tl.static_range(N):
        if tl.rank() == 0:
            tl.send_async("next", tl.load(x_ptr + i * 16, shape=(16,)))
        else:
            block = tl.recv("prev", (16,), "int32")
            slow = tl.load(y_ptr, shape=(64,)).to(tl.float32)
            for _ in tl.static_range(DELAYS[i]):
                slow = tl.exp(slow)
            if DELAYS[i]:
                tl.wait(slow)
            tl.store(y_ptr + i * 16, block)
            del block


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
@pytest.mark.parametrize("seed", range(3))
def test_a_late_consumer_finds_what_was_sent_to_it(depth, seed):
    """No slot is given to a message before the one in it was let go; the audit looks at each."""
    n = 24
    delays = np.random.default_rng(seed).choice([0, 0, 1, 3, 20], n).tolist()
    x = numbers(n, 16)
    with Audit.watching() as audit:
        simulation = run(
            late_kernel,
            ring(2, slots=depth),
            lambda torch: (torch.tensor(x), torch.zeros(n, 16, dtype="int32"), n, delays),
        )
        assert (simulation.tensors[1].numpy() == x).all()
        audit.settled()
        audit.links_carried(simulation)


# -- metadata and data ------------------------------------------------------------------------------------------------


@jit
def one_kernel(x_ptr, y_ptr, SIZE: tl.constexpr):
    """Rank 0 sends ``SIZE`` bytes; rank 1 receives and stores them."""
    if tl.rank() == 0:
        tl.send("next", tl.load(x_ptr, shape=(SIZE,)))
    else:
        tl.store(y_ptr, tl.recv("prev", (SIZE,), "uint8"))


@pytest.mark.parametrize("write_bw", [128, 10])
@pytest.mark.parametrize("size", [1, 100, 1024, 4096, 10_000])
def test_a_receive_sees_a_message_when_its_last_byte_is_in_the_ring_and_not_before(
    size, write_bw, monkeypatch
):
    """At a fast TCM, and at one that is slower than the wire, with slots of several packets and flits."""
    require_reference()
    written = []
    write = PeTcm.write

    def watched(unit, size_bytes, *when):
        end_ps = write(unit, size_bytes, *when)
        if unit.pe == 1:
            written.append((size_bytes, end_ps))
        return end_ps

    monkeypatch.setattr(PeTcm, "write", watched)
    x = (np.arange(size) % 251).astype(np.uint8)
    simulation = run(
        one_kernel,
        ring(2, slots=1, slot_bytes=size),
        lambda torch: (torch.tensor(x), torch.zeros(size, dtype="uint8"), size),
        overrides=("pe.tcm.size=1 MiB", f"pe.tcm.write_bw={write_bw}"),
    )
    (there,) = arrivals(simulation, 1)
    assert sum(size_bytes for size_bytes, _ in written) == size
    assert there == max(end_ps for _, end_ps in written)
    assert (simulation.tensors[1].numpy() == x).all()


@pytest.mark.parametrize("kind", ["sram", "hbm"])
@pytest.mark.parametrize("size", [1, 100, 1024, 4096, 10_000])
def test_a_slot_in_memory_is_there_when_its_last_write_is_acknowledged(kind, size, monkeypatch):
    require_reference()
    landed = []
    land = MemoryServer._land

    def watched(unit, transaction):
        if isinstance(transaction.tag, IpcqDmaToken):
            landed.append((transaction.size_bytes, unit.calendar.now_ps, unit.node))
        land(unit, transaction)

    monkeypatch.setattr(MemoryServer, "_land", watched)
    x = (np.arange(size) % 251).astype(np.uint8)
    simulation = run(
        one_kernel,
        ring(2, slots=1, slot_bytes=size, buffer_kind=kind),
        lambda torch: (torch.tensor(x), torch.zeros(size, dtype="uint8"), size),
        overrides=("pe.tcm.size=1 MiB",),
    )
    (there,) = arrivals(simulation, 1)
    assert sum(size_bytes for size_bytes, _, _ in landed) == size
    _, last_ps, memory = landed[-1]
    # the acknowledgement, 32 B at 64 B/ns, goes back to the PE
    assert there == last_ps + way_back_ps(simulation, memory, 1) + 500
    assert (simulation.tensors[1].numpy() == x).all()


def way_back_ps(simulation, memory, pe):
    """Latency from a memory to a PE."""
    return Routes(simulation.graph).latency_ps(memory, simulation.graph.niu_of(pe))


@jit
def asking_kernel(x_ptr, seen_ptr, SIZE: tl.constexpr):
    """Rank 1 asks for the message until it is there."""
    if tl.rank() == 0:
        tl.send("next", tl.load(x_ptr, shape=(SIZE,)))
    else:
        future = tl.recv_async("prev", (SIZE,), "uint8")
        n = 0
        while not tl.test(future):
            n += 1
        tl.store(seen_ptr, n)


@pytest.mark.parametrize("readback_ns", ["0.5", 3, 17])
def test_who_asks_until_it_is_there_learns_of_it_at_the_next_look(readback_ns):
    simulation = run(
        asking_kernel,
        ring(2, slots=1, slot_bytes=2048),
        lambda torch: (torch.zeros(2048, dtype="uint8"), torch.zeros(1, dtype="int32"), 2048),
        overrides=(f"pe.cpu.readback_ns={readback_ns}",),
    )
    (there,) = arrivals(simulation, 1)
    issues = records(simulation, OpCode.ISSUE, 1)
    step = int(float(readback_ns) * 1000)
    looks = int(simulation.tensors[1].numpy()[0]) + 1
    asked_ps = issues[0].end_ps
    assert asked_ps + (looks - 1) * step < there <= asked_ps + looks * step


@pytest.mark.parametrize("mode", MODES)
def test_asking_works_without_time_too(mode):
    simulation = run(
        asking_kernel,
        ring(2, slots=1, slot_bytes=2048),
        lambda torch: (torch.zeros(2048, dtype="uint8"), torch.zeros(1, dtype="int32"), 2048),
        mode=mode,
    )
    assert simulation.tensors[1].numpy()[0] >= 0


# -- a link that two share --------------------------------------------------------------------------------------------

ROW = grid(4, 1, "pe.tcm.size=1 MiB", "pe.scheduler.tile_queue=64")
SHARED = [
    QueuePair("stalled", "stalled_in", lambda rank, n: {1: 3}.get(rank)),
    QueuePair("flow", "flow_in", lambda rank, n: {0: 2}.get(rank)),
    QueuePair("go", "go_in", lambda rank, n: {1: 0}.get(rank)),
    QueuePair("over", "over_in", lambda rank, n: {1: 2}.get(rank)),
    QueuePair("end", "end_in", lambda rank, n: {2: 3}.get(rank)),
]
"""In a row of PEs: 1 -> 3 and 0 -> 2 share the link from router 1 to router 2."""


@jit
def shared_kernel(x_ptr, N: tl.constexpr, STALLED: tl.constexpr, ACCESSES: tl.constexpr):
    """PE 1 floods PE 3, which does not listen; when its queue is full, PE 0 sends ``N`` messages to PE 2.

    Behind that PE 1 loads from and stores to the memory of PE 3. PE 3 listens when all of it is over.
    """
    me, size = tl.rank(), 1024
    block = tl.load(x_ptr + me * 4096, shape=(size,))
    tl.wait(block)
    if me == 1:
        tl.load(x_ptr + 3 * 4096, shape=(32,))  # its page is known from now on
        for _ in tl.static_range(STALLED):
            tl.send_async("stalled", block)
        tl.send("go", block)
        for _ in tl.static_range(ACCESSES):
            tl.wait(tl.load(x_ptr + 3 * 4096, shape=(32,)))
            tl.store(x_ptr + 3 * 4096, block)
        if ACCESSES:
            tl.send("over", block)
    elif me == 0:
        tl.recv("go_in", (size,), "uint8")
        for _ in tl.static_range(N):
            tl.send_async("flow", block)
    elif me == 2:
        for _ in tl.static_range(N):
            tl.recv("flow_in", (size,), "uint8")
        if ACCESSES:
            tl.recv("over_in", (size,), "uint8")
        tl.send("end", block)
    else:
        tl.recv("end_in", (size,), "uint8")
        for _ in tl.static_range(STALLED):
            tl.recv("stalled_in", (size,), "uint8")


def shared(stalled, kind, n=0, accesses=0, depth=3):
    """``n`` messages or ``accesses`` beside ``stalled`` ones: the run, and when PE 3 began to listen."""
    simulation = run(
        shared_kernel,
        lambda torch: install_queues(
            torch, SHARED, directions=[], slots=depth, slot_bytes=1024, buffer_kind=kind
        ),
        lambda torch: (torch.zeros(4, 4096, dtype="uint8"), n, stalled, accesses),
        overrides=ROW,
        mode="timing",
    )
    return simulation, arrivals(simulation, 3)[0]


@pytest.mark.parametrize("stalled", [0, 10, 40])
def test_a_stalled_receiver_holds_nobody_elses_messages_up(stalled):
    """Its ring is full and its sender waits at PE_IPCQ, not on the wire: the other flow keeps its oracle's times."""
    simulation, listens_ps = shared(stalled, "tcm", n=12)
    begin_ps = records(simulation, OpCode.SLOT, 0)[0].start_ps
    flow = [at - begin_ps for at in arrivals(simulation, 2)]
    assert flow == Stream(simulation, 0, 2, depth=3, t_c=4_000).arrivals([1024] * 12, 1)
    late = [record for record in records(simulation, OpCode.SLOT, 1) if record.end_ps > listens_ps]
    assert len(late) == max(0, stalled - 3)  # they waited all the while


@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
@pytest.mark.parametrize("stalled", [0, 3, 10, 40])
def test_a_stalled_receiver_holds_no_load_or_store_up(stalled, kind):
    """Both keep the times they have by hand, on the links that the stalled queue's messages would take."""
    simulation, listens_ps = shared(stalled, kind, accesses=12)
    far = 2 * 3_000  # from PE 1 to PE 3: two links and two routers, on the way and on the way back
    for op, by_hand in (
        (OpCode.DMA_READ, 84_500 + 2 * far),  # as ``test_hand_calculations`` says of a local load
        # set-up, translation, TCM (read and passed on), way there with the last byte of 1056 B at 64 B/ns, served
        # at 51.2 B/ns from its first byte on: 20 of 16.5 ns; 50 ns of memory, and 32 B of acknowledgement back
        (OpCode.DMA_WRITE, 16_000 + 1_000 + 6_000 + 5_000 + far + 20_000 + 50_000 + 500 + 5_000 + far),
    ):
        taken = [record.end_ps - record.start_ps for record in records(simulation, op, 1)][-12:]
        assert taken[2:] == [by_hand] * 10, op
        assert records(simulation, op, 1)[-1].end_ps < listens_ps or not stalled


N_BACK = 24
BACK = [
    QueuePair("next", "prev", lambda rank, n: {0: 1}.get(rank)),
    *(QueuePair(f"back{i}", f"back_in{i}", lambda rank, n: {1: 0}.get(rank)) for i in range(N_BACK)),
]


@jit
def both_ways_kernel(x_ptr, N: tl.constexpr):
    """Rank 1 fills the way back with a message in each of many queues, while rank 0 sends in one of few slots."""
    block = tl.load(x_ptr, shape=(1024,))
    tl.wait(block)
    if tl.rank() == 0:
        tl.recv("back_in0", (1024,), "uint8")
        for _ in tl.static_range(N):
            tl.send_async("next", block)
        for i in tl.static_range(N_BACK - 1):
            tl.recv(f"back_in{i + 1}", (1024,), "uint8")
    else:
        for i in tl.static_range(N_BACK):
            tl.send_async(f"back{i}", block)
        for _ in tl.static_range(N):
            tl.recv("prev", (1024,), "uint8")


@pytest.mark.parametrize("depth", [1, 2])
def test_credits_on_a_saturated_way_back_keep_their_time(depth):
    """They travel beside the data: the closed form holds though the links that they take are never idle."""
    n = 6 * depth
    simulation = run(
        both_ways_kernel,
        lambda torch: install_queues(torch, BACK, directions=[], slots=depth, slot_bytes=1024),
        lambda torch: (torch.zeros(1024, dtype="uint8"), n),
        overrides=(*IDEAL, *grid(2, 1)),
        mode="timing",
    )
    slots = records(simulation, OpCode.SLOT, 0)
    begin_ps = slots[0].start_ps
    way = Way.of(simulation, 0, 1)
    m_b, a = way.message_ps(1024), way.latency_ps
    back = records(simulation, OpCode.IPCQ_COPY, 1)
    assert len(back) == N_BACK
    assert {later.end_ps - sooner.end_ps for sooner, later in zip(back, back[1:])} == {m_b}  # not idle once
    assert back[0].start_ps < begin_ps < slots[-1].end_ps < back[-1].end_ps
    there = [at - begin_ps for at in arrivals(simulation, 1)]
    assert there == [credit_queue(i, depth, m_b, a, 0, way.credit_ps) for i in range(1, n + 1)]


# -- what does not match ----------------------------------------------------------------------------------------------


@jit
def mismatch_kernel(x_ptr, SENT: tl.constexpr, ASKED: tl.constexpr, DTYPE: tl.constexpr):
    """Rank 0 sends blocks of the lengths SENT; rank 1 asks for those of ASKED."""
    if tl.rank() == 0:
        for n in SENT:
            tl.send("next", tl.load(x_ptr, shape=(n,)))
    elif tl.rank() == 1:
        for n in ASKED:
            tl.recv("prev", (n,), DTYPE)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kind", "sent", "asked", "dtype", "text"),
    [
        (ShapeError, [16], [8], "int32", "[8] int32, and sip0.cube0.pe0 sent [16] int32"),
        (ShapeError, [16], [48], "int32", "[48] int32, and sip0.cube0.pe0 sent [16] int32"),
        (ShapeError, [48], [16], "int32", "[16] int32, and sip0.cube0.pe0 sent [48] int32"),
        (ShapeError, [4, 4, 8, 16], [4, 4, 16, 8], "int32", "[16] int32, and sip0.cube0.pe0 sent [8] int32"),
        (DTypeError, [16], [16], "fp32", "[16] fp32, and sip0.cube0.pe0 sent [16] int32"),
        (DTypeError, [16], [16], "uint32", "[16] uint32, and sip0.cube0.pe0 sent [16] int32"),
    ],
)
def test_a_message_that_is_not_what_is_received_names_both_lines(kind, sent, asked, dtype, text, mode):
    send, recv = lines_of(mismatch_kernel, "tl.send", "tl.recv")
    with pytest.raises(kind) as error:
        run(
            mismatch_kernel,
            ring(4, slots=4),
            lambda torch: (torch.zeros(64, dtype="int32"), sent, asked, dtype),
            mode=mode,
        )
    assert str(error.value) == (
        f'{recv}: tl.recv("prev") on sip0.cube0.pe1 asks for {text} at {send}; '
        "receive the shape and dtype that are sent, in the order they are sent"
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["tcm", "hbm"])
def test_a_message_nobody_received_is_an_error_at_the_end_of_the_launch(mode, kind):
    (send,) = lines_of(mismatch_kernel, "tl.send")
    with pytest.raises(QueueError) as error:
        run(
            mismatch_kernel,
            ring(4, slots=4, buffer_kind=kind),
            lambda torch: (torch.zeros(64, dtype="int32"), [16, 16, 16], [16], "int32"),
            mode=mode,
        )
    assert str(error.value) == (
        "the launch ended with 2 messages that nobody received: sip0.cube0.pe1's queue 'prev' holds 2 from "
        f"sip0.cube0.pe0 (sent at {send}); receive each message that is sent"
    )


@jit
def unmatched_kernel():
    """Rank 0 waits at the end for a message that nobody sends."""
    if tl.rank() == 0:
        tl.recv_async("prev", (4,), "int32")


def test_a_launch_that_never_completes_is_mapped():
    (at,) = lines_of(unmatched_kernel, "tl.recv_async")
    simulation = Simulation.of("tiny")
    wiring = ring(slots=2)(simulation.torch)
    installed_ps = records(simulation, OpCode.CONTROL, 0)[-1].end_ps
    simulation.torch.launch(unmatched_kernel, (4,), (), queues=wiring)
    with pytest.raises(DeadlockError) as stuck:
        simulation.torch.synchronize()
    assert str(stuck.value).split("\n  ") == [
        f"nothing is left to happen at {format_ps(simulation.machine.now_ps)}, and these wait:",
        "sip0.cube0.pe0.pe_cpu  waits for its last commands; 1 command not complete",
        f"sip0.cube0.pe0.pe_scheduler  {at}: recv, 1 of 1 tiles left",
        f"sip0.cube0.pe0.pe_ipcq  tl.recv(\"prev\") at {at} waits for a message from sip0.cube0.pe3's queue 'next': "
        f"0 of 2 slots filled, 2 of 2 credits held; last progress at {format_ps(installed_ps)}",
    ]


def test_a_launch_that_never_completes_is_mapped_without_time():
    (at,) = lines_of(unmatched_kernel, "tl.recv_async")
    with pytest.raises(DeadlockError) as stuck:
        run(unmatched_kernel, ring(slots=2), mode="data")
    assert str(stuck.value).split("\n  ") == [
        "all programs have ended, and what they began waits for ever:",
        f"sip0.cube0.pe0  tl.recv(\"prev\") at {at} waits for a message from sip0.cube0.pe3's queue 'next': "
        "0 of 2 slots filled, 2 of 2 credits held",
    ]


# -- room that never comes --------------------------------------------------------------------------------------------

GO = [*RING, QueuePair("go", "go_in", lambda rank, n: {0: 1}.get(rank))]


@jit
def hoard_kernel(x_ptr, N: tl.constexpr):
    """Rank 0's second block needs the bytes of the first, which rank 1 takes only when it has the second."""
    if tl.rank() == 0:
        first = tl.load(x_ptr, shape=(N,))
        tl.send_async("next", first)
        del first
        second = tl.load(x_ptr, shape=(N,))
        tl.send("go", second)
    elif tl.rank() == 1:
        tl.recv("go_in", (N,), "uint8")
        tl.recv("prev", (N,), "uint8")


def hoard(size, mode):
    return run(
        hoard_kernel,
        lambda torch: install_queues(torch, GO, pes=[0, 1], directions=[], slots=3, slot_bytes=4096),
        lambda torch: (torch.zeros(size, dtype="uint8"), size),
        mode=mode,
    )


def test_room_in_tcm_that_never_comes_is_mapped():
    """64 KiB less three rings of 12 KiB: 28 KiB, of which a block of 16 KiB that waits for a credit holds 16.

    Without time there is no TCM to wait for; a program whose values never fit is refused there too.
    """
    first, second, recv = lines_of(hoard_kernel, "tl.send_async", "second = ", "tl.recv")
    with pytest.raises(DeadlockError) as stuck:
        hoard(16 << 10, "timed")
    lines = str(stuck.value).split("\n  ")
    assert "sip0.cube0.pe0.pe_scheduler  16 KiB of TCM wanted, 12 KiB free" in lines
    assert f"sip0.cube0.pe0.pe_scheduler  {first}: send, 1 of 4 tiles left" in lines
    assert f"sip0.cube0.pe0.pe_scheduler  {second}: load, 1 of 1 tiles left" in lines
    assert any(
        line.startswith(f'sip0.cube0.pe0.pe_ipcq  tl.send("next") at {first} waits for a credit')
        for line in lines
    )
    assert any(
        line.startswith(f'sip0.cube0.pe1.pe_ipcq  tl.recv("go_in") at {recv} waits for a message')
        for line in lines
    )
    assert lines[-1] == "cycle: sip0.cube0.pe0 -> sip0.cube0.pe1 -> sip0.cube0.pe0"
    hoard(16 << 10, "data")
    hoard(12 << 10, "timed")  # it fits the ring, and the block's bytes are free


@jit
def backlog_kernel(x_ptr, N: tl.constexpr):
    """Both ranks begin ``N`` sends before they receive."""
    name = "E" if tl.rank() == 0 else "W"
    block = tl.load(x_ptr, shape=(4,))
    for _ in tl.static_range(N):
        tl.send_async(name, block)
    for _ in tl.static_range(N):
        tl.recv(name, (4,), "int32")


@pytest.mark.parametrize("tile_queue", [4, 16])
def test_more_sends_than_have_places_are_mapped(tile_queue):
    """Places are finite: one slot, one that waits for a credit, ``tile_queue`` behind it, and as many in the lane.

    The next send holds all commands behind it up, its receives too. More places, or no more sends under way, are the
    cure; without time there are no places to run out of.
    """
    places = 1 + 1 + tile_queue + tile_queue

    def backlog(n, mode, queue):
        run(
            backlog_kernel,
            lambda torch: install_queues(torch, pes=[0, 1], slots=1),
            lambda torch: (torch.zeros(4, dtype="int32"), n),
            mode=mode,
            overrides=(f"pe.scheduler.tile_queue={queue}",),
        )

    backlog(places, "timed", tile_queue)
    backlog(places + 2, "data", tile_queue)
    with pytest.raises(
        DeadlockError, match=r"cycle: sip0\.cube0\.pe0 -> sip0\.cube0\.pe1 -> sip0\.cube0\.pe0$"
    ):
        backlog(places + 2, "timed", tile_queue)
    backlog(places + 2, "timed", tile_queue + 1)


# -- queues by identity -----------------------------------------------------------------------------------------------


@jit
def twice_joined_kernel(x_ptr, y_ptr, FIRST: tl.constexpr, SECOND: tl.constexpr):
    """Each rank sends its row 0 by FIRST and its row 1 by SECOND, and receives the far end's by the same names."""
    me = tl.rank()
    tl.send_async(FIRST[0], tl.load(x_ptr + (2 * me) * 16, shape=(16,)))
    tl.send_async(SECOND[0], tl.load(x_ptr + (2 * me + 1) * 16, shape=(16,)))
    tl.recv(SECOND[1], (16,), "int32", dst=y_ptr + (2 * me + 1) * 16)
    tl.recv(FIRST[1], (16,), "int32", dst=y_ptr + 2 * me * 16)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("wiring_of", "overrides", "first", "second"),
    [
        # a ring of two: "next" of either leads to "prev" of the other, two queues between the same two PEs
        (ring(2, slots=1), (), ("next", "prev"), ("prev", "next")),
        # a torus two wide: east and west of a PE are the same PE
        (
            lambda torch: install_queues(torch, slots=1),
            (*grid(2, 1), "neighbours.wrap=true"),
            ("E", "W"),
            ("W", "E"),
        ),
        (
            lambda torch: install_queues(torch, slots=1),
            (*grid(1, 2), "neighbours.wrap=true"),
            ("N", "S"),
            ("S", "N"),
        ),
    ],
    ids=["ring", "torus", "column"],
)
def test_two_queues_to_one_peer_do_not_mix(wiring_of, overrides, first, second, mode):
    """What goes out east comes in from the west, though both lead to the same PE and both come at once."""
    x = numbers(4, 16)
    with Audit.watching() as audit:
        simulation = run(
            twice_joined_kernel,
            wiring_of,
            lambda torch: (torch.tensor(x), torch.zeros(4, 16, dtype="int32"), first, second),
            mode=mode,
            overrides=overrides,
        )
        assert (simulation.tensors[1].numpy() == x[[2, 3, 0, 1]]).all()
        if mode == "timed":
            audit.settled()
            assert sorted(audit.pushed.values()) == [1, 1, 1, 1]


@jit
def ping_pong_kernel(x_ptr, y_ptr, N: tl.constexpr):
    """A block goes to and fro ``N`` times, one larger each time, through queues of one slot."""
    name = "E" if tl.rank() == 0 else "W"
    if tl.rank() == 0:
        block = tl.load(x_ptr, shape=(16,))
        for _ in tl.static_range(N):
            tl.send(name, block)
            block = tl.recv(name, (16,), "int32") + 1
        tl.store(y_ptr, block)
    else:
        for _ in tl.static_range(N):
            tl.send(name, tl.recv(name, (16,), "int32") + 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
def test_one_slot_each_way_carries_a_conversation(kind, mode):
    x = numbers(1, 16)
    with Audit.watching() as audit:
        simulation = run(
            ping_pong_kernel,
            lambda torch: install_queues(torch, pes=[0, 1], slots=1, buffer_kind=kind),
            lambda torch: (torch.tensor(x), torch.zeros(1, 16, dtype="int32"), 20),
            mode=mode,
        )
        assert (simulation.tensors[1].numpy() == x + 40).all()
        if mode == "timed":
            audit.settled()


# -- slow, not wrong --------------------------------------------------------------------------------------------------


def test_a_shallow_queue_is_slow_and_not_wrong():
    """Never faster with fewer slots, twice as slow at one as at many, and every value right (``flood`` looks)."""
    last = [arrivals(flood(40, slots=depth), 1)[-1] - records(flood(40, slots=depth), OpCode.SLOT, 0)[0].end_ps
            for depth in (1, 2, 3, 4, 8, 16)]  # fmt: skip
    assert last == sorted(last, reverse=True)
    assert last[0] > last[-1]
    assert last[-1] == last[-2]


# -- slots that go on, as they are ------------------------------------------------------------------------------------


@jit
def token_kernel(x_ptr, y_ptr, HOPS: tl.constexpr):
    """One block goes around the ring for ``HOPS`` hops, sent on as it was received; all who see it store it."""
    me, n = tl.rank(), tl.num_ranks()
    for hop in tl.static_range(HOPS + 1):
        if hop % n == me:
            block = tl.load(x_ptr, shape=(32,)) if hop == 0 else tl.recv("prev", (32,), "int32")
            tl.store(y_ptr + hop * 32, block)
            if hop < HOPS:
                tl.send("next", block)
            del block


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
@pytest.mark.parametrize("depth", [2, 3])
def test_a_block_is_sent_on_from_the_slots_it_came_in(depth, kind, mode):
    """Two slots for each message: with two in all there is never a second one."""
    x, hops = numbers(1, 32), 10
    simulation = run(
        token_kernel,
        ring(4, slots=depth, buffer_kind=kind),
        lambda torch: (torch.tensor(x), torch.zeros(hops + 1, 32, dtype="int32"), hops),
        mode=mode,
    )
    assert (simulation.tensors[1].numpy() == x).all()


@jit
def gather_kernel(x_ptr, y_ptr, LAPS: tl.constexpr):
    """All-gather, ``LAPS`` times over: each rank sends on what it has just received, as it is."""
    me, n = tl.rank(), tl.num_ranks()
    for lap in tl.static_range(LAPS):
        passing = tl.load(x_ptr + (lap * n + me) * 16, shape=(16,))
        for step in tl.static_range(n):
            tl.store(y_ptr + ((me * LAPS + lap) * n + (me - step) % n) * 16, passing)
            if step + 1 < n:
                tl.send("next", passing)
                passing = tl.recv("prev", (16,), "int32")
        del passing


def gathered(depth, mode, n=4, n_laps=5, **rings):
    x = numbers(n_laps * n, 16)
    simulation = run(
        gather_kernel,
        ring(n, slots=depth, **rings),
        lambda torch: (torch.tensor(x), torch.zeros(n * n_laps * n, 16, dtype="int32"), n_laps),
        mode=mode,
        overrides=("pe.tcm.size=1 MiB",),
    )
    got = simulation.tensors[1].numpy().reshape(n, n_laps * n, 16)
    assert all((part == x).all() for part in got)


@pytest.mark.parametrize("mode", MODES)
def test_slots_are_forwarded_and_used_again_without_a_wrong_value(mode):
    """In a ring where all forward at once, one slot holds what is to go where it lies: a deadlock. Two are enough.

    Where a receive copies, the copy is sent on and one slot is enough.
    """
    gathered(2, mode)
    gathered(3, mode)
    with pytest.raises(DeadlockError, match=r"cycle: sip0\.cube0\.pe0 -> sip0\.cube0\.pe1"):
        gathered(1, mode)
    for kind in ("sram", "hbm"):
        gathered(1, mode, buffer_kind=kind)
        gathered(2, mode, buffer_kind=kind)


# -- large and small in one queue -------------------------------------------------------------------------------------


@jit
def mixed_kernel(x_ptr, y_ptr, N: tl.constexpr):
    """A message larger than the ring, and a slot behind it: the one is copied, the other is not."""
    if tl.rank() == 0:
        tl.send_async("next", tl.load(x_ptr, shape=(N,)))
        tl.send_async("next", tl.load(x_ptr + N, shape=(16,)))
    else:
        large = tl.recv_async("prev", (N,), "int32")
        small = tl.recv("prev", (16,), "int32")
        tl.store(y_ptr + N, small)
        tl.store(y_ptr, tl.wait(large))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_copy_that_ends_late_keeps_its_place_in_the_queue(depth, kind, mode):
    """The small message is received while the end of the large one is still copied."""
    n = (depth + 1) * 16
    x = numbers(1, n + 16)
    simulation = run(
        mixed_kernel,
        ring(2, slots=depth, buffer_kind=kind),
        lambda torch: (torch.tensor(x), torch.zeros(1, n + 16, dtype="int32"), n),
        mode=mode,
    )
    assert (simulation.tensors[1].numpy() == x).all()
    if mode == "timed" and kind == "tcm" and depth > 1:
        assert (
            records(simulation, OpCode.RECV, 1)[-1].end_ps < records(simulation, OpCode.DRAIN, 1)[-1].end_ps
        )


@jit
def empty_kernel(x_ptr, y_ptr, LARGE: tl.constexpr):
    """Nothing is sent, too, before and behind a message of ``LARGE`` elements."""
    if tl.rank() == 0:
        tl.send_async("next", tl.zeros((0,), tl.int32))
        tl.send_async("next", tl.load(x_ptr, shape=(LARGE,)))
        tl.send_async("next", tl.zeros((0, 4), tl.int32))
    else:
        tl.recv("prev", (0,), "int32")
        large = tl.recv_async("prev", (LARGE,), "int32")
        tl.recv("prev", (0, 4), "int32")
        tl.store(y_ptr, tl.wait(large))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
@pytest.mark.parametrize("depth", [1, 2, 8])
def test_an_empty_message_takes_its_slot_and_its_turn(depth, kind, mode):
    x = numbers(1, 64)
    with Audit.watching() as audit:
        simulation = run(
            empty_kernel,
            ring(2, slots=depth, buffer_kind=kind),
            lambda torch: (torch.tensor(x), torch.zeros(1, 64, dtype="int32"), 64),
            mode=mode,
        )
        assert (simulation.tensors[1].numpy() == x).all()
        if mode == "timed":
            simulation.machine.engine.run()
            audit.settled()
            assert sorted(audit.pushed.values()) == [1 + 4 + 1]
            audit.links_carried(simulation)  # 32 B of header for each, nothing else for the empty ones


# -- again ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
def test_launches_and_installations_one_after_the_other_start_clean(kind):
    """The counters of a queue go on from launch to launch; a queue that is removed takes nothing with it."""
    simulation = Simulation.of("tiny")
    torch = simulation.torch
    x = torch.tensor(numbers(5, 16))
    with Audit.watching() as audit:
        for _ in range(3):
            wiring = ring(2, slots=2, credit_batch=2, buffer_kind=kind)(torch)
            for n in (1, 2, 5, 3):
                y = torch.zeros(5, 16, dtype="int32")
                torch.launch(flood_kernel, (2,), (x, y, n), queues=wiring)
                torch.synchronize()
                audit.check()
                assert (y.numpy()[:n] == numbers(5, 16)[:n]).all()
            simulation.machine.engine.run()
            audit.settled()
            torch.ahbm.remove_queues(wiring)
            assert audit.depth == {}
    assert sum(audit.pushed.values()) == 3 * 11


@jit
def program_kernel(x_ptr, y_ptr, PROGRAMS: tl.constexpr):
    """A message for each program of a PE: program ``p`` of rank 0 sends to program ``p`` of rank 1."""
    mine = tl.program_id(0) % PROGRAMS
    if tl.rank() == 0:
        tl.send("next", tl.load(x_ptr + mine * 16, shape=(16,)))
    else:
        tl.store(y_ptr + mine * 16, tl.recv("prev", (16,), "int32"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("depth", "q"), [(1, 1), (1, 5), (2, 3)])
def test_programs_of_one_pe_use_its_queues_in_turn_and_give_credits_back_at_their_ends(depth, q, mode):
    """With batches that a ring cannot fill it is the ends of programs that bring credits home."""
    n = 7
    x = numbers(n, 16)
    simulation = run(
        program_kernel,
        ring(2, slots=depth, credit_batch=q),
        lambda torch: (torch.tensor(x), torch.zeros(n, 16, dtype="int32"), n),
        mode=mode,
        programs=2 * n,
    )
    assert (simulation.tensors[1].numpy() == x).all()
