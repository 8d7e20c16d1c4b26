"""The builder makes every node and edge the specification asks for, with its figures and place, and no other."""

from collections import Counter

import pytest

from kernbench.config.load import load_config
from kernbench.errors import ConfigError
from kernbench.kinds import unit_kinds
from kernbench.topology.builder import build_graph, inner_links
from kernbench.units import Rate

PRESETS = ["tiny", "default", "big"]


def shape(name):
    """(SIPs, cubes a SIP, cube columns and rows, PEs a cube, PE columns and rows, HBM channels)."""
    spec = load_config(name).topology
    return (
        spec.system.sips.count,
        spec.sip.cubes.count,
        *spec.sip.cubes.grid,
        spec.cube.pes.count,
        *spec.cube.pes.grid,
        spec.cube.hbm.channels,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_there_are_as_many_nodes_of_each_kind_as_the_counts_say(graph_of, name):
    sips, cubes, columns, _, pes, _, _, channels = shape(name)
    spec = load_config(name).topology
    n_cubes, n_pes = sips * cubes, sips * cubes * pes
    ports = sum(kind == "edge" for kind in spec.cube.ucie_ports.values())
    assert Counter(node.kind for node in graph_of(name).nodes) == Counter(
        host=1,
        sip_switch=int(sips > 1),
        sip_port=sips if sips > 1 else 0,
        pcie_ep=sips,
        io_cpu=sips,
        io_noc=sips,
        io_ucie=sips * columns,
        ucie=n_cubes * ports,
        router=n_pes,
        hbm_ctrl=n_cubes * channels,
        sram=n_cubes * spec.cube.sram.banks,
        m_cpu=n_cubes,
        niu=n_pes,
        pe_cpu=n_pes,
        pe_scheduler=n_pes,
        pe_dma=n_pes,
        pe_mmu=n_pes,
        pe_tcm=n_pes,
        pe_fetch_store=n_pes,
        pe_gemm=n_pes,
        pe_math=n_pes,
        pe_ipcq=n_pes,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_there_are_as_many_edges_of_each_kind_as_the_grids_say(graph_of, name):
    sips, cubes, columns, rows, pes, width, height, channels = shape(name)
    spec = load_config(name).topology
    sides = [side for side, kind in spec.cube.ucie_ports.items() if kind == "edge"]
    edge_routers = sum(width if side in "NS" else height for side in sides)
    n_cubes = sips * cubes
    kinds = Counter(edge.kind for edge in graph_of(name).edges if edge.rate is not None)
    assert kinds == Counter(
        mesh=2 * n_cubes * ((width - 1) * height + width * (height - 1)),
        niu=2 * n_cubes * pes,
        port=2 * n_cubes * (edge_routers + channels + spec.cube.sram.banks + 1),
        d2d=2 * sips * ((columns - 1) * rows + columns * (rows - 1) + columns),
        io=2 * sips * (2 + columns + (sips > 1)),
        pcie=2 * sips,
        sip_link=2 * sips if sips > 1 else 0,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_the_inner_edges_of_a_pe_are_the_stated_ones_without_rate_or_latency(graph_of, name):
    graph = graph_of(name)
    inner = [edge for edge in graph.edges if edge.rate is None]
    links = list(inner_links(unit_kinds(graph.spec.pe)))
    assert len(inner) == graph.n_pes * len(links)
    first = {
        f"{graph.nodes[e.src].kind}->{graph.nodes[e.dst].kind}" for e in inner if graph.nodes[e.src].pe == 0
    }
    assert first == {f"{src}->{dst}" for src, dst in links}
    assert all(graph.nodes[e.src].pe == graph.nodes[e.dst].pe for e in inner)
    assert {(e.latency_ps, e.buffer_bytes) for e in inner} == {(0, 0)}


@pytest.mark.parametrize("name", PRESETS)
def test_every_link_has_a_way_back(graph_of, name):
    graph = graph_of(name)
    for edge in graph.edges:
        if edge.rate is not None:
            back = graph.edge(edge.dst, edge.src)
            assert (back.rate, back.kind) == (edge.rate, edge.kind)


@pytest.mark.parametrize(
    ("src", "dst", "latency_ps", "rate", "buffer_bytes"),
    [
        ("host", "sip0.pcie_ep", 300_000, "57.33", 131072),  # 63 x 0.91
        ("sip0.pcie_ep", "sip0.io_noc", 0, "128", 4352),
        ("sip0.io_noc", "sip0.io_ucie1", 0, "128", 4352),
        ("sip0.io_ucie1", "sip0.cube1.ucie_n", 11_000, "248.32", 8192),  # 256 x 0.97
        ("sip0.cube0.ucie_e", "sip0.cube1.ucie_w", 11_000, "248.32", 8192),
        ("sip0.cube0.ucie_s", "sip0.cube2.ucie_n", 11_000, "248.32", 8192),
        ("sip0.cube1.ucie_n", "sip0.cube1.r2_0", 0, "64", 4352),
        ("sip0.cube1.r1_0", "sip0.cube1.r2_0", 1_000, "64", 4352),
        ("sip0.cube1.r1_0", "sip0.cube1.r1_1", 1_000, "64", 4352),
        ("sip0.cube1.r3_1", "sip0.cube1.hbm7", 0, "64", 4352),
        ("sip0.cube1.r3_0", "sip0.cube1.sram1", 0, "64", 4352),
        ("sip0.cube1.r0_0", "sip0.cube1.m_cpu", 0, "64", 4352),
        ("sip0.cube1.r3_1", "sip0.cube1.pe7.niu", 3_000, "64", 4352),
        ("sip0.sip_port", "sip_switch", 300_000, "57.33", 131072),  # half of 600 ns on either side
        ("sip_switch", "sip1.sip_port", 300_000, "57.33", 131072),
    ],
)
def test_a_link_has_the_figures_of_its_kind(graph_of, src, dst, latency_ps, rate, buffer_bytes):
    graph = graph_of("default")
    edge = graph.edge(graph.node(src).index, graph.node(dst).index)
    assert (edge.latency_ps, edge.rate, edge.buffer_bytes) == (latency_ps, Rate.of(rate), buffer_bytes)


def test_an_odd_latency_between_sips_loses_no_picosecond(graph_of):
    graph = graph_of("default", "system.sip_link.latency_ns=600.001")
    up = graph.edge(graph.node("sip0.sip_port").index, graph.node("sip_switch").index)
    down = graph.edge(graph.node("sip_switch").index, graph.node("sip1.sip_port").index)
    assert (up.latency_ps, down.latency_ps) == (300_000, 300_001)


def test_a_niu_link_is_as_slow_as_the_slower_of_dma_and_mesh(graph_of):
    graph = graph_of("tiny", "pe.dma.bw=16")
    assert graph.edge(graph.niu_of(0), graph.node("sip0.cube0.r0_0").index).rate == Rate.of(16)


def test_only_routers_take_time_to_pass_through(graph_of):
    taking = {node.kind: node.latency_ps for node in graph_of("default").nodes if node.latency_ps}
    assert taking == {"router": 2_000, "io_noc": 3_000}


def test_controllers_of_big_sit_at_even_x_and_serve_two_pes_each(graph_of):
    graph = graph_of("big")
    here = [node for node in graph.of_kind("hbm_ctrl") if node.at == (0, 0)]
    assert [(node.column, node.row) for node in here[:5]] == [(0, 0), (2, 0), (4, 0), (6, 0), (0, 1)]
    assert {node.column % 2 for node in here} == {0}


def test_half_as_many_channels_sit_at_every_second_router(graph_of):
    graph = graph_of("default", "cube.hbm.channels=8")
    here = [node for node in graph.of_kind("hbm_ctrl") if node.at == (0, 0)]
    assert [(node.column, node.row) for node in here[:3]] == [(0, 0), (2, 0), (0, 1)]


# -- places ---------------------------------------------------------------------------------------------------


def test_places_are_to_scale(graph_of):
    graph = graph_of("default")  # pitch 2.7, 4 x 4 routers a cube, gap 1, IO die 4, 10 between SIPs
    a, b = graph.node("sip0.cube0.r0_0"), graph.node("sip0.cube0.r1_2")
    assert (b.x_mm - a.x_mm, b.y_mm - a.y_mm) == pytest.approx((2.7, 2 * 2.7))
    c = graph.node("sip0.cube3.r0_0")
    assert (c.x_mm - a.x_mm, c.y_mm - a.y_mm) == pytest.approx((4 * 2.7 + 1, 4 * 2.7 + 1))
    d = graph.node("sip1.cube0.r0_0")
    assert (d.x_mm - a.x_mm, d.y_mm - a.y_mm) == pytest.approx((2 * 4 * 2.7 + 1 + 10, 0))
    port = graph.node("sip0.cube0.ucie_n")
    assert port.y_mm == pytest.approx(10 + 4 + 1)
    assert graph.node("sip0.io_ucie0").y_mm == pytest.approx(port.y_mm - 1)


@pytest.mark.parametrize("name", PRESETS)
def test_no_two_nodes_share_a_place(graph_of, name):
    places = [(round(node.x_mm, 6), round(node.y_mm, 6)) for node in graph_of(name).nodes]
    assert len(set(places)) == len(places)


# -- overrides ------------------------------------------------------------------------------------------------


def error_of(*overrides, preset="default"):
    with pytest.raises(ConfigError) as caught:
        build_graph(load_config(preset, overrides).topology)
    return str(caught.value)


def test_an_override_changes_one_node_and_its_pe(graph_of):
    graph = graph_of("default", "overrides.sip0.cube1.pe3.pe_gemm.fill_cycles=64")
    changed = [node.name for node in graph.of_kind("pe_gemm") if node.spec.fill_cycles == 64]
    assert changed == ["sip0.cube1.pe3.pe_gemm"]
    assert graph.node("sip0.cube1.pe3.pe_cpu").pe_spec.gemm.fill_cycles == 64
    assert graph.node("sip0.cube1.pe4.pe_cpu").pe_spec.gemm.fill_cycles == 32


def test_an_override_merges_into_a_table(graph_of):
    graph = graph_of("default", "overrides.sip0.cube1.pe3.pe_gemm.macs_per_cycle.fp16=512")
    table = graph.node("sip0.cube1.pe3.pe_gemm").spec.macs_per_cycle
    assert (table["fp16"], table["bf16"]) == (512, 1024)


def test_a_single_tlb_may_be_smaller(graph_of):
    graph = graph_of("default", "overrides.sip0.cube1.pe3.pe_mmu.tlb_entries=8")
    changed = [node.name for node in graph.of_kind("pe_mmu") if node.spec.tlb_entries == 8]
    assert changed == ["sip0.cube1.pe3.pe_mmu"]
    assert graph.node("sip0.cube1.pe3.pe_dma").pe_spec.mmu.tlb_entries == 8


def test_a_slow_dma_slows_its_own_port(graph_of):
    graph = graph_of("tiny", "overrides.sip0.cube0.pe1.pe_dma.bw=16")
    rates = [graph.edge(graph.niu_of(pe), graph.in_edges(graph.niu_of(pe))[0].src).rate for pe in range(2)]
    assert rates == [Rate.of(64), Rate.of(16)]


def test_a_slow_router_slows_its_links_and_its_passing(graph_of):
    graph = graph_of("tiny", "overrides.sip0.cube0.r0_0={link_bw: 32, router_ns: 5}")
    router = graph.node("sip0.cube0.r0_0")
    assert router.latency_ps == 5_000
    assert {edge.rate for edge in graph.out_edges(router.index)} == {Rate.of(32)}
    assert {edge.rate for edge in graph.out_edges(graph.node("sip0.cube0.r1_1").index)} == {Rate.of(64)}


def test_a_link_override_changes_one_direction(graph_of):
    graph = graph_of("tiny", "overrides.sip0.cube0.r0_0->sip0.cube0.r1_0={bw: 6.4, latency_ns: 9}")
    a, b = graph.node("sip0.cube0.r0_0").index, graph.node("sip0.cube0.r1_0").index
    assert (graph.edge(a, b).rate, graph.edge(a, b).latency_ps) == (Rate.of("6.4"), 9_000)
    assert (graph.edge(b, a).rate, graph.edge(b, a).latency_ps) == (Rate.of(64), 1_000)
    assert graph.out_edges(a)[0] is graph.edges[graph.out_edges(a)[0].index]


def test_an_override_of_nothing_is_refused_with_the_nearest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(
        "extends: tiny\noverrides:\n  sip0.cube0.pe1.pe_gem: {fill_cycles: 1}\n"
    )
    with pytest.raises(ConfigError) as caught:
        build_graph(load_config("my.yaml").topology)
    assert str(caught.value) == (
        "my.yaml:3: overrides.sip0.cube0.pe1.pe_gem: unknown node; did you mean 'sip0.cube0.pe1.pe_gemm'?"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("overrides.sip0.cube0.pe1.pe_gemm.fil_cycles=1", "unknown key; did you mean 'fill_cycles'?"),
        ("overrides.sip0.cube0.pe1.pe_gemm.fill_cycles=-1", "-1 is too small; it must be 0 or more"),
        ("overrides.sip0.cube0.hbm1.channels=2", "is the same for the whole machine; change it there"),
        *(
            (
                f"overrides.sip0.cube0.pe1.pe_mmu.{change}",
                "is the same for the whole machine; change it there",
            )
            for change in ("page=8 KiB", "miss=preload", "walk_reads=3")
        ),
        (
            "overrides.sip0.cube0.r0_0->sip0.cube0.r1_0.rate=2",
            "unknown key; known: bw, latency_ns",
        ),
        ("overrides.sip0.cube0.r0_0->sip0.cube0.r1_0.bw=0", "0 is not a rate; it must be above 0 GB/s"),
    ],
)
def test_a_wrong_override_is_told_like_any_other_key(override, message):
    assert error_of(override, preset="tiny") == f"--set {override}: {message}"


def test_a_link_override_must_name_a_link():
    assert error_of("overrides.sip0.cube0.r0_0->sip0.cube0.r1_1={bw: 1}", preset="tiny").endswith(
        "r1_1={bw: 1}: no such link; sip0.cube0.r0_0 leads to sip0.cube0.r1_0, sip0.cube0.r0_1, sip0.cube0.ucie_n, "
        "sip0.cube0.hbm0, sip0.cube0.sram0, sip0.cube0.m_cpu, sip0.cube0.pe0.niu"
    )
    assert error_of("overrides.sip0.cube0.r0_0->sip0.cube0.r9_0={bw: 1}", preset="tiny").endswith(
        "r9_0={bw: 1}: unknown node 'sip0.cube0.r9_0'; did you mean 'sip0.cube0.r1_0'?"
    )
    assert error_of(
        "overrides.sip0.cube0.pe0.pe_gemm->sip0.cube0.pe0.pe_scheduler={bw: 1}", preset="tiny"
    ).endswith(".pe_gemm->sip0.cube0.pe0.pe_scheduler: is inside a PE: it has neither rate nor latency")
