"""Picoseconds, bytes, cycles, and the few conversions between them.

Simulated time is an ``int`` of picoseconds. 1 GB/s is 1 byte/ns, decimal. Durations are computed from totals
and rounded up once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil

from kernbench.wording import quoted

PS_PER_NS = 1000
PS_PER_US = 1000 * PS_PER_NS
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MOST_SHOWN_BYTES = 10**30
# Of the numbers that a rate is counted in: a byte's times so many fit into 64 bits.
LARGEST_PER_BYTE = 1 << 40
MOST_BYTES = 10**18  # of a size; machines have a millionth of it
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_SCALES = {"": 1, "b": 1, "k": KIB, "m": MIB, "g": GIB, "kib": KIB, "mib": MIB, "gib": GIB}


@dataclass(frozen=True, slots=True)
class Rate:
    """An exact rate in bytes per nanosecond (GB/s), as the fraction ``num / den``.

    >>> Rate.of("51.2")
    Rate(num=256, den=5)
    """

    num: int
    den: int

    @classmethod
    def of(cls, bytes_per_ns: str | int | Fraction) -> Rate:
        """The exact rate of a decimal text, an integer or a fraction; never of a float."""
        fraction = Fraction(bytes_per_ns)
        return cls(fraction.numerator, fraction.denominator)

    @property
    def fraction(self) -> Fraction:
        """Bytes per ns."""
        return Fraction(self.num, self.den)

    @property
    def ps_per_byte(self) -> Fraction:
        """Time of a byte; of more than a dozen digits, the nearest fraction whose products fit into 64 bits.

        >>> Rate.of("51.2").ps_per_byte
        Fraction(625, 32)
        """
        return _ps_per_byte(self.num, self.den)

    def scaled(self, factor: Fraction | int) -> Rate:
        """This rate times ``factor``, exactly."""
        return Rate.of(self.fraction * factor)

    def __float__(self) -> float:
        return self.num / self.den

    def __str__(self) -> str:
        return f"{float(self):g} GB/s"


@lru_cache(maxsize=1024)  # a machine has tens of thousands of links, of a few rates
def _ps_per_byte(num: int, den: int) -> Fraction:
    exact_ps = Fraction(PS_PER_NS * den, num)
    return exact_ps.limit_denominator(max(1, LARGEST_PER_BYTE // ceil(exact_ps)))


def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up, for ``b > 0``."""
    return -(-a // b)


def transfer_ps(size_bytes: int, rate: Rate) -> int:
    """Time to move ``size_bytes`` at ``rate``, rounded up.

    >>> transfer_ps(4096, Rate.of("64"))
    64000
    """
    return ceil_div(size_bytes * PS_PER_NS * rate.den, rate.num)


def cycles_ps(cycles: int, clock_mhz: int) -> int:
    """Time of ``cycles`` at ``clock_mhz``, rounded up.

    >>> cycles_ps(3, clock_mhz=1100)
    2728
    """
    return ceil_div(cycles * 1_000_000, clock_mhz)


def format_ps(ps: int) -> str:
    """A time for people, in the unit that suits its size.

    >>> format_ps(18_342_000), format_ps(950)
    ('18.342 us', '0.95 ns')
    """
    for unit, scale in (("s", 10**12), ("ms", 10**9), ("us", 10**6)):
        if abs(ps) >= scale:
            return f"{ps / scale:.3f} {unit}"
    return f"{ps / 1000:g} ns"


def format_range(first: int, size_bytes: int) -> str:
    """The addresses of ``size_bytes`` bytes; of none, where they would begin.

    >>> format_range(0x4000_0000, 256), format_range(0x4000_0000, 0)
    ('0x4000_0000..0x4000_00ff', '0x4000_0000')
    """
    return f"{first:#_x}..{first + size_bytes - 1:#_x}" if size_bytes else f"{first:#_x}"


def format_bytes(size: int) -> str:
    """A size for people, in binary units.

    >>> format_bytes(65536), format_bytes(100)
    ('64 KiB', '100 B')
    """
    if abs(size) >= MOST_SHOWN_BYTES:
        return f"more than 10^{len(str(MOST_SHOWN_BYTES)) - 1} B"
    for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(size) >= scale:
            return f"{size / scale:.4g} {unit}"
    return f"{size} B"


def percent(share: float) -> str:
    """A share with three digits, as far as they say something.

    >>> percent(0.9375), percent(0.042), percent(0), percent(1), percent(0.00004)
    ('93.8 %', '4.2 %', '0 %', '100 %', '<0.1 %')
    """
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def gbps(bytes_per_ns: Rate | float) -> str:
    """A rate for people.

    >>> gbps(57.33), gbps(Rate.of(64))
    ('57.33 GB/s', '64 GB/s')
    """
    return f"{float(bytes_per_ns):.4g} GB/s"


def parse_bytes(text: str) -> int:
    """Bytes of a size: a number, alone or with KiB, MiB or GiB, for which nccl-tests' K, M and G stand too.

    >>> parse_bytes("4096"), parse_bytes("64 KiB"), parse_bytes("64K"), parse_bytes("1.5m")
    (4096, 65536, 65536, 1572864)

    Raises:
        ValueError: it is no size, or may be meant in two ways: a KB has 1,000 bytes or 1,024.
    """
    found = _SIZE.fullmatch(text)
    if found is None or len(text) > 40:
        raise ValueError(f"{quoted(text)} is not a size; write bytes, or a number with KiB, MiB or GiB")
    number, unit = found[1], found[2].lower()
    if unit in ("kb", "mb", "gb"):
        binary = f"{unit[0].upper()}iB"
        decimal, scale = 1000 ** (1 + "kmg".index(unit[0])), _SCALES[unit[0]]
        raise ValueError(
            f"{found[2]} is {decimal:,} bytes to some, {scale:,} to others; write {number} {binary}"
        )
    if unit not in _SCALES:
        raise ValueError(f"{quoted(text)} is not a size; write bytes, or a number with KiB, MiB or GiB")
    size = Fraction(number) * _SCALES[unit]
    if size.denominator != 1:
        raise ValueError(f"{text} is not a whole number of bytes")
    if size > MOST_BYTES:
        raise ValueError(f"{text} is more than any machine holds; write {MOST_BYTES:,} bytes at most")
    return int(size)
