"""``kernbench probe queue``: a queue swept over its depth, simulated and by closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernbench.cli.options import is_whole
from kernbench.errors import UsageError
from kernbench.records import as_json
from kernbench.units import format_bytes, format_ps
from kernbench.wording import shortened

if TYPE_CHECKING:
    from kernbench.bench.probe import QueueRow
    from kernbench.reports.output import Output

MOST_DEPTHS = 1000  # each takes a run; and TCM holds some thousand slots at most


def parse_depths(text: str) -> tuple[int, ...]:
    """Depths from ``1,2,4`` and ranges such as ``1..16``, whose ends are both included.

    >>> parse_depths("1..3, 8")
    (1, 2, 3, 8)
    """
    depths: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        ends = (first, last if dots else first)
        if not all(is_whole(end) for end in ends):
            raise UsageError(
                f"--depths {shortened(text)}: {shortened(part.strip())!r} is no depth; write 4, or 1..16"
            )
        span = range(int(ends[0]), int(ends[1]) + 1)
        if not span:
            raise UsageError(f"--depths {shortened(text)}: {part.strip()} ends before it begins; write 1..16")
        if len(depths) + len(span) > MOST_DEPTHS:
            raise UsageError(
                f"--depths {shortened(text)}: {len(depths) + len(span):,} depths; {MOST_DEPTHS:,} are the most"
            )
        depths += span
    if not depths or min(depths) < 1:
        raise UsageError(f"--depths {shortened(text)}: a queue has 1 slot or more; write 4, or 1..16")
    return tuple(dict.fromkeys(depths))


def parse_pes(text: str) -> tuple[int, int]:
    """The two PEs of ``0,31``.

    >>> parse_pes("0,31")
    (0, 31)
    """
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 2 or not all(is_whole(number) for number in numbers):
        raise UsageError(f"--pes {shortened(text)}: write the numbers of two PEs, as in 0,1")
    return int(numbers[0]), int(numbers[1])


def queue_as_json(rows: tuple[QueueRow, ...]) -> list[dict[str, Any]]:
    """The rows of schema ``kernbench.probe/1``."""
    return [
        {
            "case": "queue",
            **as_json(row),
            "messages_per_us": row.messages_per_us,
            "closed_form_messages_per_us": row.limits.messages_per_us(row.depth),
            "interval_ps": float(row.limits.interval_ps),
            "limit": row.limits.limit,
            "round_trip_ps": row.limits.round_trip_ps,
            "trip_ps": row.limits.trip,
            "knee": row.limits.knee,
            "is_knee": row.is_knee,
        }
        for row in rows
    ]


def print_rows(output: Output, rows: tuple[QueueRow, ...], *, with_hops: bool) -> None:
    """The sweep, what the closed forms are made of, and whether all agrees."""
    output.line(f"queue {rows[0].src} -> {rows[0].dst}, one message a slot, slots in TCM")
    output.line()
    output.table(
        ("depth", "size", "messages/us", "closed form", "error", "knee"),
        [
            (
                f"{row.depth}",
                format_bytes(row.size_bytes),
                f"{row.messages_per_us:.3f}",
                f"{row.limits.messages_per_us(row.depth):.3f}",
                f"{row.error_ps} ps",
                "<- D*" if row.is_knee else "",
            )
            for row in rows
        ],
        left=("knee",),
    )
    limits = {row.size_bytes: row.limits for row in rows}
    output.heading("D slots give min(1 / (m b), D / R) messages; the knee is D* = ceil(R / (m b))")
    output.table(
        ("size", "m b", "R", "D*", "what takes m b"),
        [
            (
                format_bytes(size),
                f"{float(limit.interval_ps) / 1000:.6g} ns",
                format_ps(limit.round_trip_ps),
                f"{limit.knee}",
                limit.limit,
            )
            for size, limit in limits.items()
        ],
        left=("what takes m b",),
    )
    if with_hops:
        for size, limit in limits.items():
            output.heading(f"{format_bytes(size)}: a message occupies")
            output.facts((f"{float(ps) / 1000:.6g} ns", unit) for unit, ps in limit.intervals.items())
            output.heading(f"{format_bytes(size)}: round trip of a slot")
            output.facts((format_ps(ps), part) for part, ps in limit.trip.items())
    wrong = sum(row.error_ps != 0 for row in rows)
    output.line()
    output.line(
        f"{wrong} of {len(rows)} rows differ from their closed form, for which every buffer, window and queue but the "
        "ring is large enough; kernbench check warns of those that are not"
        if wrong
        else "every error is 0"
    )
