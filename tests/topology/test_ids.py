"""A PE has one name, which parses as what it prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.errors import UnknownNameError
from kernbench.topology.ids import PeId

COUNTS = st.integers(0, 10_000)


@given(sip=COUNTS, cube=COUNTS, pe=COUNTS)
def test_what_is_printed_parses(sip, cube, pe):
    assert PeId.parse(str(PeId(sip, cube, pe))) == PeId(sip, cube, pe)


@pytest.mark.parametrize("name", ["tiny", "default"])
def test_every_node_of_a_pe_is_called_after_it(graph_of, name):
    graph = graph_of(name)
    for node in graph.nodes:
        if node.pe >= 0:
            pe, _, unit = node.name.rpartition(".")
            assert (PeId.parse(pe), unit) == (graph.pes[node.pe], node.kind)


@pytest.mark.parametrize("name", ["", "pe3", "sip0.cube1.pe", "sip0.cube1.pe3.niu", "sip0.cube1.pe-3"])
def test_what_is_no_pe_shows_how_to_write_one(name):
    with pytest.raises(UnknownNameError) as caught:
        PeId.parse(name)
    assert str(caught.value) == f"{name!r} is not the name of a PE; write it like 'sip0.cube1.pe3'"


def test_ids_sort_by_number_not_by_text():
    assert PeId(0, 0, 2) < PeId(0, 0, 10) < PeId(0, 1, 0) < PeId(1, 0, 0)
