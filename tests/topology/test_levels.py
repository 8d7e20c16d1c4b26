"""One place knows the hierarchy of a machine: all else asks it for levels, positions and names of parts."""

import ast
from pathlib import Path

import pytest

import kernbench
from kernbench.config.load import load_config
from kernbench.topology.ids import PeId, part_name
from kernbench.topology.levels import count_of, number_of, parts_of, size_in_words

SOURCE = Path(kernbench.__file__).parent
KNOWS_IT = {
    "topology/levels.py": "makes the levels of the configuration",
    "config/rules/layout.py": "its messages name the keys that the user wrote",
    "config/rules/memory.py": "its messages name the keys that the user wrote",
    "topology/hbm.py": "how a cube's stack is divided, which the configuration's rules check too",
    "theory/peaks.py": "takes the machine's configuration down to two SIPs",
    "device/placement.py": "prints a policy, whose arguments have the levels' names",
}
LEVELS = {"sip", "cube"}
COUNTS = {"sips", "cubes", "pes"}


def reads_of(tree):
    """Where a file reads a level by its name: ``x.sip``, ``spec.sip.cubes``, ``cube.pes.grid``, f"cube{i}"."""
    sections = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            is_position = node.attr in LEVELS and id(node) not in sections
            inner = node.value.attr if isinstance(node.value, ast.Attribute) else ""
            is_count = node.attr in ("count", "grid") and inner in COUNTS and not is_level(node.value)
            if is_count or (is_position and not is_section(node)):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.JoinedStr):
            for text, value in zip(node.values, node.values[1:], strict=False):
                is_text = isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant)
                if is_text and text.value.endswith((*LEVELS, ".pe")):
                    yield node.lineno, ast.unparse(node)


def is_level(node):
    """Whether ``self.cubes`` is the builder's own, a level of :func:`levels_of`."""
    return ast.unparse(node.value) == "self"


def is_section(node):
    """Whether ``spec.cube`` is a section of the configuration, which holds the numbers of a cube's own parts."""
    return ast.unparse(node.value).endswith(("spec", "topology"))


def test_only_stated_files_read_a_level_by_its_name():
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        lines = list(reads_of(ast.parse(path.read_text())))
        if lines:
            found[str(path.relative_to(SOURCE))] = lines
    assert {name: found[name] for name in found.keys() - KNOWS_IT.keys()} == {}
    assert KNOWS_IT.keys() - found.keys() == set()


@pytest.mark.parametrize(
    "text", ["pe.sip", "spec.system.sips.count", "cube.pes.grid", 'f"sip{i}"', 'f"{a}.cube{i}"']
)
def test_the_test_sees(text):
    assert list(reads_of(ast.parse(text))) != []


@pytest.mark.parametrize("text", ["spec.cube.noc.link_rate", "graph.spec.cube", "shards.grid", 'f"{sip}"'])
def test_the_test_passes_by(text):
    assert list(reads_of(ast.parse(text))) == []


def test_parts_are_numbered_in_the_order_of_their_positions(graph_of):
    levels = graph_of("default").levels
    for depth in range(1, len(levels) + 1):
        above = levels[:depth]
        assert [number_of(above, at) for at in parts_of(above)] == list(range(count_of(above)))


def test_the_pes_of_a_part_are_those_whose_position_begins_with_its(graph_of):
    graph = graph_of("default")
    for depth in range(len(graph.levels) + 1):
        for at in parts_of(graph.levels[:depth]):
            assert [graph.pes[pe] for pe in graph.pes_of(at)] == [p for p in graph.pes if p[:depth] == at]


def test_a_part_is_called_by_its_path_and_every_node_of_it_begins_with_that(graph_of):
    assert [part_name(at) for at in ((), (1,), (1, 2), PeId(1, 2, 3))] == [
        "",
        "sip1",
        "sip1.cube2",
        "sip1.cube2.pe3",
    ]
    for node in graph_of("default").nodes:
        assert node.name.startswith(part_name(node.at))


def test_the_members_of_a_level_are_joined_by_its_link(graph_of):
    graph = graph_of("default")
    assert [level.link for level in graph.levels] == ["sip_link", "d2d", "mesh"]
    assert {level.link for level in graph.levels} <= {edge.kind for edge in graph.edges}
    assert [level.title for level in graph.levels] == ["SIP", "cube", "PE"]


def test_the_size_of_a_machine_is_said_level_by_level(graph_of):
    assert size_in_words(graph_of("default").levels) == "2 SIPs x 4 cubes x 16 PEs = 128 PEs"
    spec = load_config("default").topology
    assert [level.grid for level in graph_of("default").levels] == [
        spec.system.sips.grid,
        spec.sip.cubes.grid,
        spec.cube.pes.grid,
    ]
