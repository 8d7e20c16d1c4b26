"""Closed forms, recorded schedules and the ideal machine agree exactly; nothing beats a bound."""

from collections import Counter
from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernbench.bench.collectives.row import Oracle
from kernbench.ccl.algorithm import ALGORITHMS, OPS, load_algorithms
from kernbench.ccl.communicator import Communicator
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import as_dtype
from kernbench.errors import UsageError
from kernbench.simulation import simulate
from kernbench.theory.bounds import ideal_network, lower_bound
from kernbench.theory.ideal import IdealModel, Way
from kernbench.theory.max_plus import Finish, Load, Math, Recv, Send, Store, Wait, evaluate
from kernbench.theory.notes import Notes
from kernbench.theory.traffic import busiest
from kernbench.torch.context import Context
from tests.ccl.collective_kit import (
    DTYPES,
    IdealAndRecorded,
    cube_of,
    n_in,
    n_out,
    oracle,
    outcome,
    problem_of,
    schedule_of,
    serves,
)
from tests.ccl.hand_written import BY_HAND as SCHEDULED_BY_HAND
from tests.ccl.hand_written import spelled_out

pytestmark = pytest.mark.usefixtures("rare_garbage")
load_algorithms()
NAMES = sorted(ALGORITHMS)
FORMS = [name for name in NAMES if ALGORITHMS[name].has_closed_form]
F = Fraction
ALPHA, BETA, GAMMA = F(40), F(3), F(1)
ITEM = 4


def model_of(name, alpha=ALPHA, beta=BETA, gamma=GAMMA):
    return IdealModel(F(alpha), F(beta), F(gamma), ALGORITHMS[name].is_crossbar)


def closed_form(name, problem, model):
    return ALGORITHMS[name].closed_time(problem, model)


# -- schedules by hand ----------------------------------------------------------------------------------------

MODEL = IdealModel(ALPHA, BETA, GAMMA)


def took(programs, model=MODEL):
    return evaluate(programs, model).time


def sends(*messages):
    """One after the other: to whom, and how many bytes."""
    return [Send(i, (), size_bytes, to) for i, (to, size_bytes) in enumerate(messages)]


def test_a_message_holds_its_link_and_arrives_later_and_math_holds_the_engine():
    received = [Recv(0, 0), Wait((0,)), Math(1, (0,), 8), Recv(2, 0), Wait((2,)), Math(3, (2,), 4)]
    # 8 B leave at 24, 4 B behind them at 36; they arrive 40 later, at 64 and 76, and are reduced by 72 and 80
    assert evaluate([sends((1, 8), (1, 4)), received], MODEL) == Finish(F(80), {(0, 1, ""): 12}, 1)


def test_ways_between_two_ranks_are_links_of_their_own():
    both = [Send(0, (), 8, 1, "a"), Send(1, (), 8, 1, "b")]
    found = evaluate([both, [Recv(0, 0, "b"), Recv(1, 0, "a")]], MODEL)
    assert found == Finish(F(24 + 40), {(0, 1, "a"): 8, (0, 1, "b"): 8}, 1)


def test_a_crossbar_has_one_port_for_all_peers():
    schedule = [sends((1, 4), (2, 4)), [Recv(0, 0)], [Recv(0, 0)]]
    assert took(schedule) == 12 + 40
    assert took(schedule, MODEL._replace(is_crossbar=True)) == 24 + 40


def test_each_way_has_its_own_cost_and_a_port_stays_as_fast_as_it_is():
    schedule = [sends((1, 4), (2, 4)), [Recv(0, 0)], [Recv(0, 0)]]
    slow = MODEL._replace(ways={(0, 1): Way(F(100), F(50))})
    # to rank 1: 4 x 50 + 100; to rank 2, with a port of their own or behind 4 x 3 in a common one: 4 x 3 + 40
    assert took(schedule, slow) == 200 + 100
    quick = MODEL._replace(ways={(0, 1): Way(F(1), F(5))})
    assert took(schedule, quick) == 12 + 40
    assert took(schedule, quick._replace(is_crossbar=True)) == 12 + 12 + 40
    twice = [sends((1, 4), (1, 4)), [Recv(0, 0), Recv(1, 0)]]
    assert took(twice, slow._replace(is_crossbar=True)) == 400 + 100


def test_a_send_waits_for_what_was_stored_before_it():
    received, reduced, sent = [Recv(0, 0), Wait((0,))], Math(1, (0,), 4), Send(2, (), 4, 0)
    sender = [*sends((1, 4)), Recv(1, 1)]
    # stored at 12 + 40 + 4; without the store, the second message could leave at 52
    assert took([sender, [*received, reduced, Store((0, 4), (1,)), sent]]) == 56 + 12 + 40
    assert took([sender, [*received, reduced, sent]]) == 52 + 12 + 40


@pytest.mark.parametrize(
    ("span", "when"), [((0, 4), 0), ((0, 6), 52), ((6, 8), 52), ((8, 12), 0), ((0, 12), 52), ((5, 5), 0)]
)
def test_a_load_gives_what_was_last_stored_in_each_of_its_bytes(span, when):
    """A message of 4 B arrives at 52 and is stored while the program goes on; 100 B are computed from a load."""
    stored, loaded = [Recv(0, 0), Store((4, 8), (0,))], [Load(1, span), Math(2, (1,), 100)]
    assert took([sends((1, 4)), [*stored, *loaded]]) == when + 100
    assert took([sends((1, 4)), [*stored, Store((4, 8), ()), *loaded]]) == 100  # and what was there is gone


def test_a_receive_that_nobody_waits_for_lets_the_program_go_on():
    """Rank 0 asks first and sends then; rank 1 answers. What arrives is computed with when it is there."""
    asks = [Recv(0, 1), Math(1, (), 16), Send(2, (), 4, 1), Math(3, (0,), 4)]
    answers = [Recv(0, 0), Wait((0,)), Send(1, (0,), 4, 0)]
    assert evaluate([asks, answers], MODEL) == Finish(F(52 + 52 + 4), {(0, 1, ""): 4, (1, 0, ""): 4}, 2)


def test_a_sender_that_waits_goes_on_when_its_message_has_left():
    waits = [Send(0, (), 8, 1), Wait((0,)), Math(1, (), 4)]
    assert took([waits, [Recv(0, 0)]]) == 24 + 40
    assert took([[*waits, Send(2, (1,), 0, 1)], [Recv(0, 0), Recv(1, 0)]]) == 24 + 4 + 40


def test_an_empty_message_says_what_has_come_so_far():
    """0 tells 1, and 1 tells 2: two messages one after the other, though none carries a byte of another."""
    chain = [sends((1, 0)), [Recv(0, 0), Wait((0,)), Send(1, (), 0, 2)], [Recv(0, 1)]]
    assert evaluate(chain, MODEL).n_steps == 2


def test_a_schedule_that_stands_still_is_an_error():
    with pytest.raises(UsageError, match=r"^the schedule's ranks \[0, 1\] wait for ever$"):
        evaluate([[Recv(0, 1), Wait((0,))], [Recv(0, 0), Wait((0,))]], MODEL)


# -- closed forms by hand -------------------------------------------------------------------------------------

# p ranks, 4 n bytes; alpha 40, beta 3, gamma 1: a part of c bytes takes 40 + 3 c on a link and c in an engine
BY_HAND = {
    ("ring_allreduce", 4, 64): 6 * (40 + 64 * 3) + 3 * 64,
    ("ring_bidirectional_allreduce", 4, 64): 6 * (40 + 32 * 3) + 4 * 32,
    ("ring_reduce_scatter", 4, 16): 3 * (40 + 64 * 3 + 64),
    ("ring_all_gather", 4, 16): 3 * (40 + 64 * 3),
    ("recursive_doubling_allreduce", 8, 16): 3 * (40 + 64 * 3 + 64),
    ("halving_doubling_allreduce", 8, 64): 6 * 40 + 2 * 224 * 3 + 224,  # 7/8 of 256 B each way
    ("tree_allreduce", 7, 16): 2 * (2 * 40 + 2 * 64 * 3 + 2 * 64),
    ("torus_bucket_allreduce", 8, 64): 6 * (40 + 64 * 3) + 3 * 64 + 2 * (40 + 32 * 3) + 32,  # 4 x 2
    ("chain_broadcast", 5, 16): 4 * (40 + 64 * 3),
    ("chain_reduce", 5, 16): 4 * (40 + 64 * 3 + 64),
    ("binomial_broadcast", 8, 16): 3 * (40 + 64 * 3),
    ("binomial_reduce", 8, 16): 3 * (40 + 64 * 3 + 64),
    ("pairwise_all_to_all", 4, 64): 40 + 3 * 64 * 3,
    ("dissemination_barrier", 9, 0): 4 * 40,
    ("hello_send", 2, 16): 64 * 3 + 40,
}


@pytest.mark.parametrize(("name", "p", "n_elem"), BY_HAND)
def test_closed_forms_by_hand(name, p, n_elem):
    problem, model = problem_of(name, p, n_elem), model_of(name)
    assert oracle(name, problem, model) == Oracle(F(BY_HAND[name, p, n_elem]), "closed form")
    assert outcome(name, problem, model).time == BY_HAND[name, p, n_elem]


def test_a_ring_in_slices_pays_the_latency_once():
    # c = 256 B in 8 slices: 256 * 3 >= 40 + 32 * (3 + 1)
    problem = problem_of("ring_allreduce", 4, 256, slice_elems=8, slots=9)
    assert closed_form("ring_allreduce", problem, model_of("ring_allreduce")) == 6 * 256 * 3 + 40
    problem = problem_of("ring_reduce_scatter", 4, 64, slice_elems=8, slots=9)
    assert (
        closed_form("ring_reduce_scatter", problem, model_of("ring_reduce_scatter")) == 3 * 256 * 3 + 40 + 32
    )


def test_an_engine_slower_than_a_link_is_what_a_sliced_ring_waits_for():
    """The condition that ``reference/collectives.md`` section 6 leaves out: 256 >= 4 + 16 * (1 + 4) holds here."""
    problem = problem_of("ring_reduce_scatter", 4, 64, slice_elems=4, slots=17)
    model = model_of("ring_reduce_scatter", alpha=4, beta=1, gamma=4)
    assert closed_form("ring_reduce_scatter", problem, model) is None
    assert outcome("ring_reduce_scatter", problem, model).time > 3 * 256 + 4 + 16 * 4


def test_what_comes_down_a_tree_waits_for_the_last_that_goes_up():
    """In six slices of 4 B: 5 * 4 > 2 * (1 + 4 + 4), and the last slice goes down 2 later than it came."""
    model = model_of("tree_allreduce", alpha=1, beta=1, gamma=F(1, 2))
    for n_slices, closed in ((5, 28 + 4 * 4), (6, None)):
        problem = problem_of("tree_allreduce", 7, n_slices, slice_elems=1, slots=4)
        assert closed_form("tree_allreduce", problem, model) == closed
    assert outcome("tree_allreduce", problem, model).time == 28 + 5 * 4 + 2


# -- against each other ---------------------------------------------------------------------------------------

FRACTIONS = st.builds(F, st.integers(1, 40), st.integers(1, 3))
WORLDS = (2, 3, 4, 6, 7, 8)
VOLUMES = (
    (24, 1024, 8),
    (48, 4, 4),
    (50, 8, 2),
    (5, 1, 1),
    (96, 2, 6),
    (0, 16, 2),
)  # elements of the larger buffer, of a slice, slots


def of_each(name, n_elem, p):
    """Elements of a rank's smaller buffer, if those of the larger one are ``n_elem``, rounded up to even blocks."""
    each = -(-n_elem // p)
    blocks = {"all_to_all": p * each, "reduce_scatter": each, "all_gather": each}
    return blocks.get(ALGORITHMS[name].collective, n_elem)


@st.composite
def problems(draw, names=tuple(NAMES)):
    name, p = draw(st.sampled_from(names)), draw(st.integers(1, 9))
    assume(serves(name, p))
    n_elem = of_each(name, draw(st.sampled_from([0, 1, 2, 5, 12, 24])) * draw(st.sampled_from([1, p])), p)
    slice_elems = max(draw(st.sampled_from([1, 3, 4, 16, 1024])), n_elem // 24)
    slots, root = draw(st.sampled_from([1, 2, 3, 5, 9])), draw(st.integers(0, p - 1))
    problem = problem_of(name, p, n_elem, slice_elems=slice_elems, slots=slots, root=root)
    return name, problem, model_of(name, *(draw(FRACTIONS) for _ in range(3)))


@pytest.mark.parametrize("name", NAMES)
def test_an_algorithm_has_a_closed_form_at_its_small_size_or_none_anywhere(name):
    """The recorded schedule says the same: a kernel that does more, or waits for more, differs."""
    algorithm = ALGORITHMS[name]
    assert serves(name, algorithm.small.n_ranks)
    problem, model = problem_of(name, *algorithm.small), model_of(name)
    closed = closed_form(name, problem, model)
    assert (closed is not None) == algorithm.has_closed_form
    if closed is not None:
        assert closed == outcome(name, problem, model).time


def traffic_of(found):
    """By sender and receiver: a kernel has names for its ways, a schedule by hand has none."""
    sums = Counter()
    for (sender, receiver, _), size_bytes in found.traffic.items():
        sums[sender, receiver] += size_bytes
    return sums


@pytest.mark.parametrize("name", SCHEDULED_BY_HAND)
def test_a_recorder_finds_the_schedule_that_was_written_by_hand(name):
    """All times under all models, ways that differ included: nothing waits for anything else in one of them."""
    random = np.random.default_rng(3)

    def some():
        return F(int(random.integers(1, 40)), int(random.integers(1, 3)))

    for p, (n_elem, slice_elems, slots) in product((1, 2, 3, 4, 7, 8), VOLUMES):
        if not serves(name, p):
            continue
        problem = problem_of(name, p, n_elem, slice_elems=slice_elems, slots=slots)
        recorded = schedule_of(name, problem)
        by_hand = spelled_out(SCHEDULED_BY_HAND[name](problem), ITEM)
        for _ in range(2):
            model = model_of(name, some(), some(), some())
            ways = {(int(random.integers(p)), int(random.integers(p))): Way(some(), some()) for _ in range(3)}
            for each in (model, model._replace(ways=ways)):
                found, wanted = evaluate(recorded, each), evaluate(by_hand, each)
                assert (found.time, found.n_steps) == (wanted.time, wanted.n_steps), problem
                assert traffic_of(found) == traffic_of(wanted), problem


@given(problems(tuple(FORMS)))
@settings(max_examples=200, deadline=None)
def test_where_a_closed_form_holds_it_is_what_the_schedule_comes_to(case):
    name, problem, model = case
    closed = closed_form(name, problem, model)
    assume(closed is not None)
    assert closed == outcome(name, problem, model).time


@given(problems())
@settings(max_examples=60, deadline=None)
def test_twice_as_slow_takes_twice_as_long_and_slower_is_never_faster(case):
    name, problem, model = case
    schedule = schedule_of(name, problem)
    time = took(schedule, model)
    doubled = IdealModel(2 * model.alpha, 2 * model.beta, 2 * model.gamma, model.is_crossbar)
    assert took(schedule, doubled) == 2 * time
    for field in ("alpha", "beta", "gamma"):
        assert took(schedule, model._replace(**{field: getattr(model, field) + 1})) >= time


def ran(name, p, n_elem, model, *, slots, slot_bytes, **how):
    """The time on the ideal machine, its communicator, and the schedule as it was recorded on the way."""
    simulation = simulate("tiny", mode="data", overrides=[*cube_of(p), "pe.tcm.size=1 MiB"], ideal=model)
    notes = Notes()
    simulation.machine.program_kind = partial(IdealAndRecorded, notes=notes)
    communicator = Communicator(simulation.device, range(p), slots=slots, slot_bytes=slot_bytes)
    launch(communicator, name, n_elem, **how)
    return simulation.machine.time, communicator, [notes.steps[pe] for pe in range(p)]


def launch(communicator, name, n_elem, *, root=0, dtype="fp32", op="sum", is_in_place=False):
    torch, p = Context(communicator.device, seed=0), communicator.group.n_ranks
    sources, results = (
        [torch.empty(n(name, n_elem, p), dtype=dtype, policy=DPPolicy(only=pe)) for pe in communicator.pes]
        for n in (n_in, n_out)
    )
    for source in sources:
        if source.numel():
            source.copy_(np.ones(source.shape, as_dtype(dtype).numpy))
    is_in_place = is_in_place and n_in(name, n_elem, p) == n_out(name, n_elem, p)
    communicator.run(name, sources, sources if is_in_place else results, n_elem=n_elem, op=op, root=root)
    torch.synchronize()


@pytest.mark.parametrize("name", NAMES)
def test_the_ideal_machine_takes_exactly_what_theory_says(name):
    for i, (p, (n_elem, slice_elems, slots)) in enumerate(product(WORLDS, VOLUMES)):
        n_elem = of_each(name, n_elem, p)
        if not serves(name, p) or (i + p) % 2:
            continue
        model = model_of(name, alpha=F(7, 2), beta=F(3, 1 + i % 3), gamma=F(i % 4, 3))
        time, communicator, schedule = ran(
            name, p, n_elem, model, slots=slots, slot_bytes=ITEM * slice_elems, root=i % p
        )
        problem = problem_of(name, p, n_elem, slice_elems=slice_elems, slots=slots, root=i % p)
        assert time == took(schedule, model), (problem, model)
        assert closed_form(name, problem, model) in (None, time), (problem, model)
        network = ideal_network(communicator.install(name), model)
        assert lower_bound(ALGORITHMS[name].collective, problem, network) <= time


@given(
    data=st.data(),
    name=st.sampled_from(NAMES),
    p=st.integers(1, 17),
    n_elem=st.integers(0, 120),
    slice_elems=st.integers(1, 60),
    slots=st.integers(1, 12),
    dtype=st.sampled_from(DTYPES),
    op=st.sampled_from(OPS),
    is_in_place=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_so_it_does_with_anything_at_all(data, name, p, n_elem, slice_elems, slots, dtype, op, is_in_place):
    assume(serves(name, p))
    n_elem = of_each(name, n_elem, p)
    root, item_bytes = data.draw(st.integers(0, p - 1)), as_dtype(dtype).size_bytes
    ways = data.draw(
        st.dictionaries(st.tuples(*[st.integers(0, p - 1)] * 2), st.builds(Way, FRACTIONS, FRACTIONS))
    )
    model = model_of(name, *(data.draw(FRACTIONS) for _ in range(3)))._replace(ways=ways)
    time, _, schedule = ran(
        name, p, n_elem, model,
        slots=slots, slot_bytes=slice_elems * item_bytes, root=root, dtype=dtype, op=op, is_in_place=is_in_place,
    )  # fmt: skip
    problem = problem_of(
        name, p, n_elem, item_bytes=item_bytes, slice_elems=slice_elems, slots=slots, root=root
    )
    assert time == took(schedule, model)
    closed = closed_form(name, problem, model)  # knows no average, whose division takes time too
    assert closed in (None, time) or op == "avg"


# -- bytes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("p", [1, 2, 4, 6, 7])
def test_a_schedule_sends_what_its_algorithm_says(name, p):
    if not serves(name, p):
        pytest.skip("cannot serve them")
    n_elem = 84
    traffic = outcome(name, problem_of(name, p, n_elem, slice_elems=8), model_of(name)).traffic
    assert sum(traffic.values()) == ITEM * ALGORITHMS[name].elems_sent(p, n_elem)


N = 4 * 48  # bytes of 48 elements
# name, ranks: messages one after the other, bytes on the busiest link (of a crossbar: the busiest port)
TABLE = {
    ("ring_allreduce", 4): (6, 2 * N * 3 // 4),
    ("ring_bidirectional_allreduce", 4): (6, N * 3 // 4),
    ("ring_reduce_scatter", 4): (3, N * 3),  # a block is n
    ("ring_all_gather", 4): (3, N * 3),
    ("recursive_doubling_allreduce", 8): (3, N * 3),
    ("halving_doubling_allreduce", 8): (6, 2 * N * 7 // 8),
    ("halving_doubling_allreduce", 6): (
        6,
        2 * N * 3 // 4 + N,
    ),  # two fold: one step more at either end, n more
    ("tree_allreduce", 7): (4, N),
    ("double_binary_tree_allreduce", 8): (
        6,
        N // 2,
    ),  # on its own link of a tree's edge; see below for a rank's
    ("torus_bucket_allreduce", 8): (8, 2 * N * 3 // 4),  # 4 x 2
    ("hierarchical_allreduce", 4): (6, 2 * N * 3 // 4),  # one cube
    ("chain_broadcast", 5): (4, N),
    ("chain_reduce", 5): (4, N),
    ("binomial_broadcast", 8): (3, N * 3),
    ("binomial_reduce", 8): (3, N),
    ("pairwise_all_to_all", 4): (1, N * 3 // 4),
    ("dissemination_barrier", 9): (4, 0),
    ("hello_send", 2): (1, N),
}


@pytest.mark.parametrize(("name", "p"), TABLE)
def test_steps_and_the_busiest_link_are_those_of_the_table(name, p):
    found = outcome(name, problem_of(name, p, 48, slice_elems=5), model_of(name))
    most = busiest(found.traffic, is_crossbar=ALGORITHMS[name].is_crossbar)
    assert (found.n_steps, most) == TABLE[name, p]


def test_of_two_trees_no_rank_sends_more_than_twice_what_it_has():
    for p in range(2, 18):
        found = outcome(
            "double_binary_tree_allreduce",
            problem_of("double_binary_tree_allreduce", p, 48),
            model_of(NAMES[0]),
        )
        assert busiest(found.traffic, is_crossbar=True) <= 2 * N
