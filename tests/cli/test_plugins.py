"""What a user's file registers is the equal of what ships: listed, drawn, measured, and held to what it claims."""

import json
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

import kernbench.registry as registry_module
from kernbench.bench import BENCHES
from kernbench.ccl import algorithms
from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
from kernbench.components.base import COMPONENTS
from kernbench.errors import UnknownNameError, UsageError
from kernbench.lang import jit, tl
from kernbench.ops import OPS
from kernbench.registry import Registry, did_you_mean, registering_from
from kernbench.simulation import load_plugin
from kernbench.testing import run, run_collective
from kernbench.theory.group import COLLECTIVES

ALGORITHM = '''"""All-gather in one step: everybody sends to everybody."""
from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.spans import block_of, read, receive, write
from kernbench.ccl.wiring import QueuePair
from kernbench.lang import tl


def to_everybody(src, dst, *, n_elem, slice_elems):
    """Send the own block to all others."""
    me, n_ranks = tl.rank(), tl.num_ranks()
    for part in block_of(0, n_elem, slice_elems):
        block = read(src, part)
        for k in range(1, n_ranks):
            tl.send_async(f"to{k}", block)
        write(dst, part._replace(start=part.start + me * n_elem), block)
        for k in range(1, n_ranks):
            at = part._replace(start=part.start + (me - k) % n_ranks * n_elem)
            write(dst, at, receive(f"from{k}", part, src))


def closed_form(problem, model):
    """Of one slice: all links carry it at once."""
    if problem.n_elem > problem.slice_elems:
        return None
    return model.alpha + problem.size_bytes * model.beta


def queues(group):
    return tuple(QueuePair(f"to{k}", f"from{k}", lambda r, n, k=k: (r + k) % n) for k in range(1, group.n_ranks))


ALGORITHMS.register("direct_all_gather")(
    Algorithm(
        collective="all_gather",
        kernel=to_everybody,
        queues=queues,
        elems_sent=lambda n_ranks, n_elem: n_ranks * (n_ranks - 1) * n_elem,
        closed_form=closed_form,
        source="derived: a link for each pair",
        small=Small(n_ranks=4, n_elem=16),
    )
)
'''
TINY = ("--topology", "tiny", "-b", "256", "-e", "256")


@pytest.fixture(autouse=True)
def clean_registries():
    yield
    for registry in (ALGORITHMS, BENCHES, COMPONENTS, OPS):
        for source in {registry.source(name) for name in registry} - {""}:
            registry.forget(source)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes a file with an algorithm, in which some text is changed; it lies where the command runs."""
    monkeypatch.chdir(tmp_path)

    def write(**changes):
        text = ALGORITHM
        for old, new in changes.values():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "mine.py").write_text(text)
        return "mine.py"

    return write


# -- an algorithm ---------------------------------------------------------------------------------------------


def test_an_algorithm_is_listed_with_what_it_is_and_the_ranks_it_serves(kernbench, plugin, tmp_path):
    path = plugin(
        some=("queues=queues,", "queues=queues, refuses=lambda g: None if g.n_ranks < 4 else 'no',")
    )
    rows = json.loads(kernbench("list", "algorithms", "--plugin", path, "--json", "-").out)["algorithms"]
    assert {
        "name": "direct_all_gather",
        "collective": "all_gather",
        "ranks": "1-3",
        "doc": "All-gather in one step: everybody sends to everybody.",
        "module": str(tmp_path / "mine.py"),
    } in rows
    (line,) = [
        line
        for line in kernbench("list", "algorithms", "--plugin", path).out.splitlines()
        if line.startswith("direct")
    ]
    assert line.split(maxsplit=3) == [
        "direct_all_gather", "all_gather", "1-3", "All-gather in one step: everybody sends to everybody.",
    ]  # fmt: skip


def test_algorithms_that_ship_say_the_same(kernbench):
    rows = json.loads(kernbench("list", "algorithms", "--json", "-").out)["algorithms"]
    found = {row["name"]: row for row in rows}
    assert list(found) == list(load_algorithms())
    assert {row["collective"] for row in rows} == set(COLLECTIVES)
    assert found["recursive_doubling_allreduce"]["ranks"] == "1-2, 4, 8, 16, 32, 64, 128"
    assert found["ring_allreduce"]["ranks"] == "1-128"
    assert all(row["doc"] for row in rows)


def test_an_algorithm_is_measured_by_name_and_is_right(kernbench, plugin):
    ran = kernbench(
        "ccl", "all_gather", "--algo", "direct_all_gather", "--plugin", plugin(), *TINY, "--json", "-"
    )
    (row,) = json.loads(ran.out)["rows"]
    assert ran.code == 0
    assert (row["algorithm"], row["out_of_place"]["n_wrong"], row["total_bytes"]) == (
        "direct_all_gather",
        0,
        768,
    )


MESSAGE_PS = 11_000 + 64 * 15.625  # alpha, and 16 elements of 4 B at 64 B/ns: see kernbench.ccl/1's "model"


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({}, "closed form"),
        ({"some": ("closed_form=closed_form,\n", "\n")}, "max-plus"),
        ({"some": ("return model.alpha +", "return None and")}, "max-plus"),
    ],
)
def test_an_algorithm_has_an_oracle_its_closed_form_or_what_its_kernel_was_seen_to_do(
    kernbench, plugin, changes, source
):
    """On the ideal machine to the picosecond; on the real one as what it would take on links of its own."""
    args = ("ccl", "all_gather", "--algo", "direct_all_gather", "--plugin", plugin(**changes), *TINY)
    ran = kernbench(*args, "--ideal", "--json", "-")
    (row,) = json.loads(ran.out)["rows"]
    assert (ran.code, row["oracle_ps"], row["oracle_source"]) == (0, MESSAGE_PS, source)
    assert {half["error_ps"] for half in (row["out_of_place"], row["in_place"])} == {0}
    assert (row["steps"], row["max_link_bytes"], row["total_bytes"]) == (1, 64, 4 * 3 * 64)
    (row,) = json.loads(kernbench(*args, "--json", "-").out)["rows"]
    half = row["out_of_place"]
    assert half["error_ps"] == half["time_ps"] - row["oracle_ps"] > 0
    assert (row["steps"], row["total_bytes"]) == (1, 4 * 3 * 64)


def test_a_closed_form_that_is_wrong_is_found_on_the_ideal_machine(kernbench, plugin):
    path = plugin(some=("model.alpha +", "2 * model.alpha +"))
    args = ("ccl", "all_gather", "--algo", "direct_all_gather", "--plugin", path, *TINY)
    ran = kernbench(*args, "--ideal")
    assert ran.code == 1
    assert "# Off their oracle     : 1 FAILED" in ran.out


MISTAKES = {
    "no small size": (
        ("        small=Small(n_ranks=4, n_elem=16),\n", ""),
        "Algorithm: there is no small size; write one for tests, at which closed_form holds, as in "
        "small=Small(n_ranks=4, n_elem=64)",
    ),
    "no source": (
        ('        source="derived: a link for each pair",\n', ""),
        "Algorithm: closed_form has no source; write the literature that it is from, as in source='Patarasuk and Yuan "
        "2009', or why none is known",
    ),
    "no Python": (("def queues(group):", "def queues(group:"), "SyntaxError: '(' was never closed"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_users_file_is_told_with_its_line_and_what_to_write(kernbench, plugin, mistake):
    change, error = MISTAKES[mistake]
    line = 28 if mistake == "no Python" else 33
    ran = kernbench("ccl", "all_gather", *TINY, "--plugin", plugin(some=change))
    assert (ran.code, ran.err) == (2, f"kernbench: mine.py:{line}: {error}\n")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_of_the_package_is_an_error_of_that_one_thing(
    kernbench, tmp_path, monkeypatch, mistake
):
    """Whatever else is registered there is loaded, listed and run."""
    change, error = MISTAKES[mistake]
    (tmp_path / "direct_all_gather.py").write_text(ALGORITHM.replace(*change))
    monkeypatch.setattr(algorithms, "__path__", [*algorithms.__path__, str(tmp_path)])
    monkeypatch.setattr(ALGORITHMS, "_loaded", set())
    monkeypatch.setattr(ALGORITHMS, "mistakes", {})
    line = 28 if mistake == "no Python" else 33
    text = f"{tmp_path / 'direct_all_gather.py'}:{line}: {error}"
    assert load_algorithms().mistakes == {"direct_all_gather": text}
    with pytest.raises(UsageError) as caught:
        ALGORITHMS["direct_all_gather"]
    assert str(caught.value) == text
    ran = kernbench("ccl", "all_gather", *TINY, "--algo", "direct_all_gather")
    assert (ran.code, ran.err) == (2, f"kernbench: {text}\n")
    ran = kernbench("list", "algorithms")
    assert (ran.code, ran.err) == (0, f"kernbench: {text}; the list is without it\n")
    assert "ring_all_gather" in ran.out
    assert kernbench("ccl", "all_gather", *TINY).code == 0


def test_an_algorithm_is_drawn(kernbench, plugin):
    args = ("show", "tiny", "--ranks", "--algo", "direct_all_gather", "--plugin", plugin())
    ran = kernbench(*args, "-o", "mine.svg", "--json", "-")
    ranks = json.loads(ran.out)["ranks"]
    assert (ran.code, ranks["algorithm"], ranks["file"]) == (0, "direct_all_gather", "mine.svg")
    assert {(edge["from"], edge["to"]) for edge in ranks["edges"]} == {
        (a, b) for a in range(4) for b in range(a + 1, 4)
    }
    ElementTree.parse("mine.svg")


BESIDE = """def beside(src, dst, *, n_elem):
    for way in ("E", "W"):
        if tl.neighbor(way) is not None:
            tl.send_async(way, tl.load(src, shape=(n_elem,)))
    for way in ("E", "W"):
        if tl.neighbor(way) is not None:
            tl.recv(way, (n_elem,), src.dtype.element_ty)


"""


def test_an_algorithm_of_the_grids_own_queues_is_drawn_too(kernbench, plugin):
    path = plugin(
        some=("queues=queues,", "queues=lambda group: (), directions=('E', 'W'),"),
        kernel=("kernel=to_everybody", "kernel=beside"),
        body=("def queues", BESIDE + "def queues"),
    )
    args = ("show", "tiny", "--ranks", "--algo", "direct_all_gather", "--plugin", path, "--json", "-")
    edges = json.loads(kernbench(*args).out)["ranks"]["edges"]
    assert [(edge["from"], edge["to"], edge["is_mutual"]) for edge in edges] == [(0, 1, True), (2, 3, True)]


def test_what_a_file_prints_is_no_part_of_the_json(kernbench, plugin):
    ran = kernbench(
        "list", "ops", "--plugin", plugin(some=("import tl\n", "import tl\nprint('hello')\n")), "--json", "-"
    )
    json.loads(ran.out)
    assert ran.err == "hello\n"


CLAIM = (
    "direct_all_gather: its elems_sent claims 7 elements (world_size=4, n_elem=16), and its kernel has sent 192; "
    "correct the one that is wrong"
)


def test_what_an_algorithm_claims_to_send_is_held_against_what_it_sends(kernbench, plugin):
    path = plugin(some=("n_ranks * (n_ranks - 1) * n_elem", "7"))
    args = ("ccl", "all_gather", "--algo", "direct_all_gather", "--plugin", path, *TINY)
    for mode in ((), ("--mode", "timing"), ("--ideal",)):
        ran = kernbench(*args, *mode)
        assert (ran.code, ran.err) == (2, f"kernbench: {CLAIM}\n")
    with pytest.raises(UsageError) as caught:
        run_collective("direct_all_gather", [np.ones(16, np.float32)] * 4)
    assert str(caught.value) == CLAIM


def test_what_a_kernel_wants_and_nobody_gives_is_named_with_what_there_is(kernbench, plugin):
    path = plugin(some=("*, n_elem, slice_elems)", "*, n_elem, slice_elems, chunk)"))
    ran = kernbench("ccl", "all_gather", "--algo", "direct_all_gather", "--plugin", path, *TINY)
    assert (ran.code, ran.err) == (
        2,
        "kernbench: mine.py:8: kernel to_everybody(src, dst, *, n_elem, slice_elems, chunk): no value for 'chunk'; src "
        "and dst come first, then a kernel of direct_all_gather may name n_elem, op, root, slice_elems, slots\n",
    )


@pytest.mark.parametrize("name", ["allgather", "all_gathers", ""])
def test_an_unknown_collective_is_refused_where_it_is_registered(kernbench, plugin, name):
    path = plugin(some=('collective="all_gather"', f'collective="{name}"'))
    error = f"unknown collective {name!r}; {did_you_mean(name, COLLECTIVES)}"
    for command in (("list",), ("ccl", "all_gather", *TINY), ("show", "tiny", "--ranks")):
        ran = kernbench(*command, "--plugin", path)
        assert (ran.code, ran.err) == (2, f"kernbench: mine.py:33: {error}\n")
    with pytest.raises(UsageError):
        load_plugin(path)
    with pytest.raises(UnknownNameError):
        ALGORITHMS["direct_all_gather"]


def test_a_name_that_ships_is_taken(kernbench, plugin):
    path = plugin(some=('"direct_all_gather"', '"ring_all_gather"'))
    ran = kernbench("list", "algorithms", "--plugin", path)
    error = "algorithm 'ring_all_gather' is registered already; give yours another name"
    assert (ran.code, ran.err) == (2, f"kernbench: mine.py:32: {error}\n")


def test_a_name_that_ships_is_the_users_mistake_even_if_the_users_file_was_first():
    registry = Registry("algorithm", "anything", lambda thing: True)
    with registering_from("mine.py"):
        registry.register("ring")(1)
    with pytest.raises(UsageError) as caught:
        registry.register("ring")(2)
    assert str(caught.value) == "mine.py: algorithm 'ring' is registered already; give yours another name"


# -- a distribution -------------------------------------------------------------------------------------------

LOADED = ("kernbench_test_rings", "kernbench_test_odds")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a distribution, with its modules, for this test alone: ``(name, entry points, module=text ...)``."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry_module, "_broken", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def install(name, points, **modules):
        folder = tmp_path / f"{name}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(f"[kernbench.plugins]\n{points}\n")
        for module, text in modules.items():
            (tmp_path / f"{module}.py").write_text(text)

    yield install
    for module in LOADED:
        sys.modules.pop(module, None)


MORE = '''
import numpy as np
from kernbench.bench import Expected, Outcome, bench
from kernbench.components.pe.pe_gemm import PeGemm
from kernbench.components.base import COMPONENTS
from kernbench.ops.elementwise import elementwise

elementwise("test_cube", lambda x: x**3, mul=2)


@COMPONENTS.register("test_gemm_v1")
class MyGemm(PeGemm):
    """Mine."""


@bench("test_zeros")
def run(torch) -> Outcome:
    """Zeros are zeros."""
    x = torch.zeros(4)
    return Outcome(outputs=(x,), expected=lambda: (Expected(values=np.zeros(4), tolerance=0),), reference="0", flops=0)
'''


def test_what_a_distribution_offers_is_listed_and_found_by_name(kernbench, installed):
    installed(
        "rings",
        "all = kernbench_test_rings\nmore = kernbench_test_odds",
        kernbench_test_rings=ALGORITHM,
        kernbench_test_odds=MORE,
    )
    document = json.loads(kernbench("list", "--json", "-").out)
    names = {
        kind: {row["name"] for row in document[kind]} for kind in ("algorithms", "components", "benches")
    }
    assert ("direct_all_gather" in names["algorithms"], "test_gemm_v1" in names["components"]) == (True, True)
    assert "test_zeros" in names["benches"]
    (row,) = [row for row in document["algorithms"] if row["name"] == "direct_all_gather"]
    assert row["module"] == "kernbench_test_rings"


@pytest.mark.parametrize(
    "command",
    [
        ("ccl", "all_gather", "--algo", "direct_all_gather", *TINY),
        ("show", "tiny", "--ranks", "--algo", "direct_all_gather", "-o", "ranks.svg"),
        ("run", "test_zeros", "--topology", "tiny"),
        ("run", "hello_send", "--topology", "tiny", "-p", "n=16", "--set", "components.pe_gemm=test_gemm_v1"),
    ],
)
def test_an_unknown_name_is_looked_for_in_distributions(kernbench, installed, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    installed(
        "rings",
        "all = kernbench_test_rings\nmore = kernbench_test_odds",
        kernbench_test_rings=ALGORITHM,
        kernbench_test_odds=MORE,
    )
    ran = kernbench(*command)
    assert (ran.code, ran.err) == (0, "")


def test_an_op_of_a_distribution_is_found_by_a_kernel(installed):
    installed("odds", "all = kernbench_test_odds", kernbench_test_odds=MORE)

    @jit
    def cubes(x_ptr):
        at = tl.arange(0, 4)
        tl.store(x_ptr + at, tl.test_cube(tl.load(x_ptr + at)))

    assert run(cubes, (1,), [np.arange(4, dtype=np.float32)]).args[0].tolist() == [0, 1, 8, 27]


def test_a_known_name_loads_no_distribution(kernbench, installed):
    installed("rings", "all = kernbench_test_rings", kernbench_test_rings="raise SystemError")
    for command in (
        ("ccl", "all_gather", *TINY),
        ("show", "tiny", "--peaks"),
        ("check", "tiny"),
        ("run", "hello_send", "--topology", "tiny"),
    ):
        assert kernbench(*command).code == 0
    assert registry_module._broken is None


BROKEN = "rings 1.2: its plugin all = kernbench_test_rings{attr} cannot be loaded: {error}"


@pytest.mark.parametrize(
    ("attr", "text", "error"),
    [
        ("", "import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("", "print('hello')\nraise ValueError('two\\nlines')", "ValueError: two lines"),
        ("", "import sys\nsys.exit()", "SystemExit"),
        (":enter", "", "AttributeError: module 'kernbench_test_rings' has no attribute 'enter'"),
        (":enter", "def enter(x): pass", "TypeError: enter() missing 1 required positional argument: 'x'"),
        (
            "",
            ALGORITHM.replace('"direct_all_gather"', '"ring_all_gather"'),
            "algorithm 'ring_all_gather' is registered already; give yours another name",
        ),
    ],
)  # fmt: skip
def test_a_broken_one_is_a_line_that_names_its_distribution_and_takes_nothing_from_others(
    kernbench, installed, attr, text, error
):
    installed("rings", f"all = kernbench_test_rings{attr}", kernbench_test_rings=text)
    installed("sound", "all = kernbench_test_odds", kernbench_test_odds=MORE)
    line = BROKEN.format(attr=attr, error=error)
    ran = kernbench("list", "benches", "--json", "-")
    assert "test_zeros" in {row["name"] for row in json.loads(ran.out)["benches"]}
    assert (ran.code, ran.err.removeprefix("hello\n")) == (0, f"kernbench: {line}; the list is without it\n")
    ran = kernbench("run", "test_zero")
    known = did_you_mean("test_zero", BENCHES)
    assert (ran.code, ran.err) == (2, f"kernbench: unknown bench 'test_zero'; {known}; {line}\n")


def test_a_function_registers_when_it_is_called(kernbench, installed):
    text = "def enter():\n" + "".join(f"    {line}\n" for line in ALGORITHM.splitlines())
    installed("rings", "all = kernbench_test_rings:enter", kernbench_test_rings=text)
    assert "direct_all_gather" in kernbench("list", "algorithms").out
    assert ALGORITHMS.source("direct_all_gather") == "rings 1.2"
    assert ALGORITHMS.source("ring_all_gather") == ""


# -- a bench on ranks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("world_size", ["9", "0"])
def test_a_bench_with_more_ranks_than_there_are_pes_says_so(kernbench, world_size):
    assert kernbench("run", "ccl_allreduce", "--topology", "tiny", "-p", f"world_size={world_size}") == (
        2,
        "",
        f"kernbench: ccl_allreduce: world_size={world_size}; the machine has 4 PEs, and each rank is one: give 1 "
        "to 4\n",
    )


BENCH = '''import kernbench as kb

@kb.jit
def add_one(x):
    kb.tl.store(x, kb.tl.load(x) + 1.0)

@kb.bench("team_bench")
def run(torch, n: int = 4):
    """Ours."""
    x = torch.zeros(n, name="x")
    add_one[(1,)](x)
    return kb.Outcome(outputs=(x,), expected=lambda: None, reference="none", flops=0)
'''


@pytest.mark.parametrize(
    "args",
    [
        ("run", "team_bench", "--topology", "tiny"),
        ("show", "tiny", "--memory", "team_bench"),
        ("list", "benches"),
    ],
)
def test_a_bench_of_a_plugin_is_known_by_its_name(kernbench, tmp_path, args):
    (tmp_path / "ours.py").write_text(BENCH)
    try:
        ran = kernbench(*args, "--plugin", str(tmp_path / "ours.py"))
    finally:
        BENCHES.forget(str(tmp_path / "ours.py"))
    assert (ran.code, ran.err) == (0, "")
    assert "team_bench" in ran.out or "tensors in HBM slices" in ran.out


DICT = "it must give a dict of arguments of the kernel, as in "
PAIRS = "it must give a tuple of QueuePairs, as in (QueuePair('next', 'prev', lambda r, n: (r + 1) % n),)"


@pytest.mark.parametrize(
    ("field", "given", "error"),
    [
        ("kernel_args", "lambda n, e: 5", f"kernel_args(4, 16) gives 5; {DICT}{{'n_elem': n_elem}}"),
        (
            "kernel_args",
            "lambda n, e: {5: 5}",
            f"kernel_args(4, 16) gives {{5: 5}}; {DICT}{{'n_elem': n_elem}}",
        ),
        (
            "kernel_args",
            "lambda n, e: n / 0",
            "kernel_args(4, 16) raises ZeroDivisionError: division by zero",
        ),
        ("layout", "lambda group: None", f"layout(group) gives None; {DICT}{{'columns': 4}}"),
        ("layout", "lambda group: exit()", "layout(group) raises SystemExit: None"),
        ("queues", "lambda group: 'up'", f"queues(group) gives 'up'; {PAIRS}"),
        ("queues", "lambda group: [5]", f"queues(group) gives [5]; {PAIRS}"),
        (
            "queues",
            "lambda group: [QueuePair('a', 'b', 5)]",
            "QueuePair('a', 'b', 5) is not two names and a function that gives the peer's rank",
        ),
        (
            "queues",
            "lambda group: [QueuePair('a', 'b', lambda r, n: 'x')]",
            "QueuePair('a', 'b').peer(0, 4) gives 'x'; it must give the rank at the other end, or None",
        ),
        (
            "queues",
            "lambda group: [QueuePair('a', 'b', lambda r, n: 1 / 0)]",
            "QueuePair('a', 'b').peer(0, 4) raises ZeroDivisionError: division by zero",
        ),
        (
            "queues",
            "lambda group: [QueuePair('a', 'b', lambda r, n: r - 1)]",
            "queue 'a' of rank 0 leads to rank -1 of 4",
        ),
        (
            "elems_sent",
            "lambda n, e: 'many'",
            "elems_sent(4, 16) gives 'many'; it must give how many elements all ranks send, a whole number, 0 or more",
        ),
        (
            "closed_form",
            "lambda problem, model: 1.5",
            "closed_form(problem, idealmodel) gives 1.5; it must give a Fraction of picoseconds, or None where it does "
            "not hold",
        ),
        ("refuses", "lambda group: 5", "refuses(group) gives 5; it must give None, or the reason in a line"),
        (
            "refuses",
            "lambda: None",
            "refuses(group) raises TypeError: <lambda>() takes 0 positional arguments but 1 was given",
        ),
    ],
)
def test_a_function_of_an_algorithm_that_gives_something_else_is_named_with_its_line(
    kernbench, tmp_path, monkeypatch, field, given, error
):
    monkeypatch.chdir(tmp_path)
    text = ALGORITHM.replace("    )\n)\n", f"        **{{{field!r}: {given}}},\n    )\n)\n")
    if f"        {field}=" in text:
        text = "".join(line for line in text.splitlines(True) if not line.startswith(f"        {field}="))
    (tmp_path / "ours.py").write_text(text)
    args = ("--algo", "direct_all_gather", "--plugin", "ours.py", *["--ideal"] * (field == "closed_form"))
    ran = kernbench("ccl", "all_gather", *TINY, *args)
    line = 1 + text.splitlines().index(f"        **{{{field!r}: {given}}},")
    assert (ran.code, ran.err) == (
        2,
        f"kernbench: ours.py:{line}: algorithm direct_all_gather: {error}\n",
    )


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("kernel=5", "kernel must be a function, not 5"),
        ("kernel=int", "kernel must be a function, not <class 'int'>"),
        ("directions=5", "directions must be a tuple, as in ('E', 'W'), not 5"),
        ("small=(4, 64)", MISTAKES["no small size"][1].removeprefix("Algorithm: ")),
        ("source=5", MISTAKES["no source"][1].removeprefix("Algorithm: ")),
        (
            "closed_form=0",
            "closed_form must be a function that gives a Fraction of picoseconds, or None where it does not hold, "
            "not 0",
        ),
        ("is_crossbar=5", "is_crossbar must be True or False, not 5"),
        ("refuses='no'", "refuses must be a function that gives None, or the reason in a line, not 'no'"),
    ],
)
def test_a_field_of_an_algorithm_that_is_of_another_kind_is_named(field, error):
    load_algorithms()
    name, value = field.split("=")
    with pytest.raises(UsageError) as caught:
        replace(ALGORITHMS["ring_allreduce"], **{name: eval(value)})
    assert str(caught.value) == f"Algorithm: {error}"
