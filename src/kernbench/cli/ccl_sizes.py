"""The sizes of ``kernbench ccl``, as nccl-tests has them: from the smallest to the largest, by a factor or in steps."""

from __future__ import annotations

from collections.abc import Sequence

from kernbench.cli.options import whole_number
from kernbench.errors import UsageError
from kernbench.units import parse_bytes
from kernbench.wording import shortened

MOST_SIZES = 1000
LEAST, MOST, FACTOR = "1K", "64K", "8"  # run in seconds on the ranks of one cube


def parse_size(option: str, text: str) -> int:
    """Bytes of a size; UsageError names ``option``.

    >>> parse_size("-b", "8"), parse_size("-e", "128M"), parse_size("-b", "1.5k")
    (8, 134217728, 1536)
    """
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise UsageError(f"{option} {shortened(text)}: {error}") from None


def sizes_of(least: str | None, most: str | None, factor: str | None, step: str | None) -> Sequence[int]:
    """The sizes from ``least`` to ``most``, by a factor or in steps; by default where they are None.

    >>> sizes_of("1K", "64K", None, None), sizes_of("8", "30", None, "8")
    ([1024, 8192, 65536], [8, 16, 24])
    """
    least = least or LEAST
    first = parse_size("-b", least)
    last = max(first, parse_size("-e", MOST)) if most is None else parse_size("-e", most)
    if first > last:
        raise UsageError(f"-b {least}: is more than -e {most or MOST}")
    times = whole_number(factor or ("1" if step else FACTOR), "-f")
    plus = parse_size("-i", step or "0")
    if times > 1 and step is not None:
        raise UsageError(f"-i {step}: -f {factor} leads from one size to the next already; give one of them")
    if times > 1 and first == 0:
        raise UsageError("-b 0: no factor leads on from 0; give another -b, or steps with -i")
    if times <= 1 and plus < 1:
        given = f"-f {factor}" if step is None else f"-i {step}"
        raise UsageError(f"{given}: does not lead on; give a factor of 2 or more, or steps with -i")
    if times <= 1 and (last - first) // plus >= MOST_SIZES:
        raise UsageError(
            f"-i {step}: makes {(last - first) // plus + 1:,} sizes of -b {least} to -e {most or MOST}; "
            f"{MOST_SIZES:,} are the most"
        )
    sizes = [first]
    while (after := sizes[-1] * times if times > 1 else sizes[-1] + plus) <= last:
        sizes.append(after)
    return sizes


def last_of(most: str | None, sizes: Sequence[int]) -> int:
    """The size that was asked for as the largest, whether or not the steps meet it."""
    return sizes[-1] if most is None or sizes == [0] else parse_size("-e", most)
