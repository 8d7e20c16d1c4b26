"""A size means one thing wherever it is written, or is refused there with the same words."""

import pytest

import kernbench as kb
from kernbench.cli.ccl_sizes import parse_size
from kernbench.cli.probe import parse_sizes
from kernbench.config.load import load_config
from kernbench.errors import KernBenchError
from kernbench.units import parse_bytes


def in_a_file(text, folder):
    path = folder / "my.yaml"
    path.write_text(f"extends: tiny\npe.tcm.size: {text}\n")
    return load_config(path).topology.pe.tcm.size_bytes


PLACES = {
    "a YAML file": in_a_file,
    "--set": lambda text, _: load_config("tiny", [f"pe.tcm.size={text}"]).topology.pe.tcm.size_bytes,
    "overrides of Python": lambda text, _: (
        kb.simulate("tiny", mode="data", overrides={"pe.tcm.size": text}).config.topology.pe.tcm.size_bytes
    ),
    "ccl -b": lambda text, _: parse_size("-b", text),
    "probe --sizes": lambda text, _: parse_sizes(text)[0],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("98304", 98304),
        ("98304 B", 98304),
        ("96 KiB", 98304),
        ("96KiB", 98304),
        ("96K", 98304),
        ("96k", 98304),
        ("96 kib", 98304),
        ("1M", 1 << 20),
        ("1.5 MiB", 3 << 19),
    ],
)
def test_a_size_means_the_same_in_every_place(place, text, size_bytes, tmp_path):
    assert PLACES[place](text, tmp_path) == parse_bytes(text) == size_bytes


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("64 KB", "KB is 1,000 bytes to some, 1,024 to others; write 64 KiB"),
        ("1MB", "MB is 1,000,000 bytes to some, 1,048,576 to others; write 1 MiB"),
        ("2 gb", "gb is 1,000,000,000 bytes to some, 1,073,741,824 to others; write 2 GiB"),
        ("64 Kbit", "'64 Kbit' is not a size; write bytes, or a number with KiB, MiB or GiB"),
        ("many", "'many' is not a size; write bytes, or a number with KiB, MiB or GiB"),
        ("0.3K", "0.3K is not a whole number of bytes"),
    ],
)
def test_what_is_no_size_is_refused_with_the_same_words_in_every_place(place, text, refusal, tmp_path):
    with pytest.raises(KernBenchError) as error:
        PLACES[place](text, tmp_path)
    assert str(error.value).endswith(f": {refusal}")
