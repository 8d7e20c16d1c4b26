"""Programs with and without races, made at random, for the laws of races."""

import random
import warnings
from dataclasses import dataclass, field

import numpy as np

from kernbench.ccl import QueuePair, install_queues
from kernbench.errors import RaceWarning
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.simulation import Simulation

N_PROGRAMS = 4
N = 256  # elements of each tensor
RING = QueuePair("next", "prev", lambda rank, n: (rank + 1) % n)


@dataclass
class Found:
    """What a run left: the values of its tensors, and the races that were reported."""

    values: list[np.ndarray]
    races: list[str]
    report: object = field(repr=False)


def run(
    kernel,
    arrays,
    *,
    mode,
    n_programs=N_PROGRAMS,
    place=None,
    tie_seed=None,
    queues=False,
    races="warn",
    **meta,
):
    """Run ``kernel`` on ``tiny``; ``queues`` joins its programs to a ring, in the order of their PEs."""
    options = {} if tie_seed is None or mode == "data" else {"tie_seed": tie_seed}
    simulation = Simulation.of("tiny", mode=mode, races=races, uninitialised="ignore", **options)
    torch = simulation.torch
    wiring = None
    if queues:
        wiring = install_queues(torch, [RING], pes=place, directions=())
    tensors = [
        torch.from_numpy(array.copy(), name=name).to("ahbm")
        for name, array in zip("xyzuvw", arrays, strict=False)
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.launch(kernel, (n_programs,), tensors, meta, place=None if queues else place, queues=wiring)
        torch.synchronize()
    told = [str(w.message) for w in caught if issubclass(w.category, RaceWarning)]
    report = simulation.report()
    assert told == [str(race) for race in report.races]
    return Found([tensor.numpy() for tensor in tensors], told, report)


# -- random programs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One thing that a program does: load or store elements, or be at a barrier."""

    act: str
    tensor: int = 0
    elements: tuple[int, ...] = ()
    shape: str = "box"
    add: float = 0.0


def interpreter(scripts):
    """A kernel whose program p does what ``scripts[p]`` says. What it stores depends on what it loaded last."""

    @jit
    def kernel(x_ptr, y_ptr):
        pointers = (x_ptr, y_ptr)
        value = 0.0
        for step in scripts[int(tl.program_id(0))]:
            if step.act == "barrier":
                barrier(step.shape)
                continue
            where, mask = lanes(pointers[step.tensor], step)
            if step.act == "load":
                value = tl.max(tl.load(where, mask=mask, other=0.0))
            elif step.act == "poll":
                tl.load(where, mask=mask, volatile=True)
            else:
                block = tl.arange(0, where.numel).to(tl.float32) + value * 0.5 + step.add
                tl.store(where, block, mask=mask)

    return kernel


def lanes(pointer, step):
    """Pointers to the elements of a step, and a mask: a box, a ragged mask, or one of a permutation (a gather)."""
    low, high, count = step.elements[0], step.elements[-1], len(step.elements)
    if step.shape == "box":
        at = tl.arange(0, 1 << (count - 1).bit_length())
        pace = step.elements[1] - low if count > 1 else 1
        return pointer + low + at * pace, at < count
    width = 1 << (high - low).bit_length()
    at = tl.arange(0, width)
    if step.shape == "gather":
        at = at ^ (width - 1)
    bits = sum(1 << element - low for element in step.elements)
    return pointer + low + at, (bits >> at.to(tl.int64)) & 1 > 0


def barrier(how):
    """Two turns of a token round the ring: whoever is behind it comes after all that is before it anywhere."""
    token = tl.zeros((1,), tl.float32)
    for _ in range(2):
        if tl.rank() == 0:
            tl.send("next", token)
            take(how)
        else:
            take(how)
            tl.send("next", token)


def take(how):
    """Receive the token: at once, by a wait, or by asking until it is there."""
    if how == "recv":
        tl.recv("prev", (1,), tl.float32)
        return
    future = tl.recv_async("prev", (1,), tl.float32)
    while how == "test" and not tl.test(future):
        pass
    tl.wait(future)


def random_elements(rng, allowed, shape):
    """Some of ``allowed``, rising: for a box with one distance, else within 60."""
    count = rng.randint(1, min(12, len(allowed)))
    if shape == "box":
        start = rng.randrange(len(allowed) - count + 1)
        run = allowed[start : start + count]
        pace = run[1] - run[0] if count > 1 else 1
        even = [run[0] + i * pace for i in range(count)]
        return tuple(even) if even == run else (run[0],)
    first = rng.choice(allowed)
    near = [element for element in allowed if first <= element < first + 60]
    return tuple(sorted(rng.sample(near, min(count, len(near)))))


def shares(rng, n_programs):
    """The elements of a tensor dealt to programs: in runs, in turn, in tiles, or anyhow."""
    how = rng.choice(("runs", "turns", "tiles", "anyhow"))
    elements = list(range(N))
    if how == "runs":
        cuts = sorted(rng.sample(range(1, N), n_programs - 1))
        return [elements[a:b] for a, b in zip([0, *cuts], [*cuts, N], strict=True)]
    if how == "turns":
        return [elements[p::n_programs] for p in range(n_programs)]
    if how == "tiles":
        return [[e for e in elements if e // 128 * 2 + e % 16 // 8 == p] for p in range(n_programs)]
    owner = [rng.randrange(n_programs) for _ in elements]
    owner[:n_programs] = range(n_programs)
    return [[e for e in elements if owner[e] == p] for p in range(n_programs)]


def race_free(seed):
    """Scripts in which, between two barriers, who stores an element is alone with it; and whether they need queues."""
    rng = random.Random(seed)
    scripts = [[] for _ in range(N_PROGRAMS)]
    n_phases = rng.randint(1, 3)
    for phase in range(n_phases):
        if phase:
            how = rng.choice(("recv", "wait", "test"))
            for script in scripts:
                script.append(Step("barrier", shape=how))
        written = rng.randrange(2)
        dealt = shares(rng, N_PROGRAMS)
        for script, own in zip(scripts, dealt, strict=True):
            for _ in range(rng.randint(1, 5)):
                shape = rng.choice(("box", "ragged", "gather"))
                act = rng.choice(("load", "store", "store", "read", "poll"))
                if act in ("load", "store"):
                    script.append(Step(act, written, random_elements(rng, own, shape), shape, rng.random()))
                else:
                    everything = list(range(N))
                    tensor = 1 - written if act == "read" else rng.randrange(2)
                    act = "load" if act == "read" else act
                    script.append(Step(act, tensor, random_elements(rng, everything, shape), shape))
    return scripts, n_phases > 1


def may_race(seed):
    """Scripts that load and store anything, with a barrier here and there; few elements, so that they meet often."""
    rng = random.Random(seed)
    scripts = [[] for _ in range(N_PROGRAMS)]
    n_phases = rng.randint(1, 3)
    few = rng.choice((8, 24, 80, N))
    for phase in range(n_phases):
        if phase:
            for script in scripts:
                script.append(Step("barrier", shape=rng.choice(("recv", "wait", "test"))))
        for script in scripts:
            for _ in range(rng.randint(0, 3)):
                shape = rng.choice(("box", "ragged", "gather"))
                act = rng.choice(("load", "store"))
                elements = random_elements(rng, list(range(few)), shape)
                value = rng.choice((0.0, 0.0, 1.0, rng.random()))
                script.append(Step(act, rng.randrange(2), elements, shape, value))
    return scripts, n_phases > 1


def run_scripts(scripts, uses_queues, rng, mode):
    """Run scripts on PEs chosen at random, with ties permuted: several on one PE only where none waits for another."""
    places = list(range(N_PROGRAMS))
    place = rng.sample(places, N_PROGRAMS) if uses_queues else [rng.choice(places) for _ in places]
    arrays = [np.arange(N, dtype=np.float32), np.zeros(N, np.float32)]
    return run(
        interpreter(scripts),
        arrays,
        mode=mode,
        place=place,
        tie_seed=rng.randrange(1 << 20),
        queues=uses_queues,
    )
