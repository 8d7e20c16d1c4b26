"""No kernel beats its arithmetic at peak, nor its bytes at the rate of the links and channels that took part."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kernbench.analysis.bounds import Bound, LevelUse, gemm_bound, gemm_peak, levels_used
from kernbench.config.load import load_config
from kernbench.topology.builder import build_graph
from kernbench.units import Rate, transfer_ps

TOPOLOGY = load_config("default").topology
GRAPH = build_graph(TOPOLOGY)


def node(name):
    return GRAPH.node(name).index


def link(src, dst):
    return GRAPH.edge(node(src), node(dst)).index


def test_1024_cubed_in_fp16_from_one_hbm3_stack_is_bound_by_memory():
    # Three matrices of 1024 x 1024 fp16 are 6 MiB: at 819.2 GB/s 7.68 us (reference: Williams et al., 2009).
    hbm = LevelUse(3 * 1024 * 1024 * 2, Rate.of("819.2"))
    bound = gemm_bound(2 * 1024**3, Rate.of(400_000), {"hbm": hbm}, time_ps=10_000_000)
    assert (bound.limit, bound.bound_ps) == ("hbm", 7_680_000)
    assert bound.share == 0.768


def test_without_bytes_the_arithmetic_is_the_bound():
    bound = gemm_bound(2 * 128**3, Rate.of(2048), {}, time_ps=4_096_000)
    assert (bound.limit, bound.bound_ps, bound.share) == ("compute", 2_048_000, 0.5)


def test_at_the_ridge_compute_is_named():
    assert gemm_bound(100, Rate.of(1), {"hbm": LevelUse(100, Rate.of(1))}, 100_000).limit == "compute"


LEVELS = st.dictionaries(
    st.sampled_from(["hbm", "niu", "ucie", "sip link"]),
    st.builds(LevelUse, st.integers(0, 1 << 40), st.integers(1, 1 << 20).map(Rate.of)),
)


@given(st.integers(0, 1 << 50), LEVELS)
def test_the_bound_is_the_largest_of_all_floors(flops, levels):
    bound = gemm_bound(flops, Rate.of(2048), levels, time_ps=1)
    floors = [
        transfer_ps(flops, Rate.of(2048)),
        *(transfer_ps(level.size_bytes, level.rate) for level in levels.values()),
    ]
    assert bound.bound_ps == max(floors)


def test_a_bound_rounds_up_as_no_whole_picosecond_before_it_is_enough():
    assert LevelUse(1, Rate.of(3)).floor_ps == 334


def test_reaching_the_bound_is_a_share_of_one():
    assert Bound(time_ps=100, floors_ps={"compute": 100, "hbm": 40}).share == 1.0


# --- the machine's rates ---


def test_the_peak_of_one_default_pe_is_2_048_tflops_in_fp16():
    macs = TOPOLOGY.pe.gemm.macs_per_cycle["fp16"]
    assert gemm_peak(macs, TOPOLOGY.pe.clock_mhz, 1) == Rate.of(2048)  # 2 * 1024 MACs at 1 GHz


@given(st.integers(1, 4096), st.integers(1, 4000), st.integers(1, 8192))
def test_the_peak_grows_with_macs_clock_and_pes(macs, clock_mhz, n_pes):
    assert gemm_peak(macs, clock_mhz, n_pes).fraction == Fraction(2 * macs * n_pes * clock_mhz, 1000)


def test_only_channels_that_moved_bytes_add_their_rate():
    one, other, idle = (node(f"sip0.cube0.hbm{channel}") for channel in (0, 1, 2))
    levels = levels_used(GRAPH, {}, {one: 4096, other: 64, idle: 0})
    assert levels == {
        "hbm": LevelUse(4160, Rate.of("102.4"))
    }  # two channels of two pseudo-channels of 25.6 GB/s


def test_shared_sram_is_no_hbm():
    assert levels_used(GRAPH, {}, {node("sip0.cube0.sram0"): 4096}) == {}


def test_links_count_for_their_level_with_their_own_rate():
    links = {
        link("sip0.cube0.r0_0", "sip0.cube0.pe0.niu"): 1000,
        link("sip0.cube0.r0_0", "sip0.cube0.r1_0"): 200,
        link("sip0.cube0.ucie_e", "sip0.cube1.ucie_w"): 30,
        link("sip0.sip_port", "sip_switch"): 4,
        link("sip0.cube0.r0_0", "sip0.cube0.hbm0"): 7,
        link("host", "sip0.pcie_ep"): 9,
    }
    assert levels_used(GRAPH, links, {}) == {
        "niu": LevelUse(1000, Rate.of(64)),
        "noc": LevelUse(200, Rate.of(64)),
        "ucie": LevelUse(30, Rate.of(Fraction("248.32"))),  # 256 GB/s * 0.97
        "sip link": LevelUse(4, Rate.of(Fraction("57.33"))),  # 63 GB/s * 0.91
    }
