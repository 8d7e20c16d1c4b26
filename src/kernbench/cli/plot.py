"""Pictures of results, drawn with matplotlib: an extra that is imported only when a picture is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernbench.errors import UsageError
from kernbench.files import written_whole
from kernbench.units import format_bytes

if TYPE_CHECKING:
    from kernbench.bench.probe import QueueRow

FORMATS = (".png", ".svg")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")  # Okabe and Ito's
INK, GRID = "#1d2733", "#d9dee3"
STYLE = {
    "svg.hashsalt": "kernbench",  # the same picture is the same file
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}

RING = {
    "marker": "o",
    "linestyle": "",
    "markersize": 13,
    "markerfacecolor": "none",
    "markeredgewidth": 1.6,
}


def require_drawable(target: str | None) -> None:
    """Raise UsageError if ``target`` is no picture, or if there is nothing to draw it with."""
    if target is None:
        return
    if Path(target).suffix not in FORMATS:
        raise UsageError(f"--plot {target}: a picture's name ends with {' or '.join(FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401 - only whether it is there
    except ImportError:
        raise UsageError(
            "--plot draws with matplotlib, which is not installed: pip install kernbench[plot]"
        ) from None


def draw_queue(target: str, rows: tuple[QueueRow, ...]) -> None:
    """Payload rate against depth, a line for each size: points simulated, lines by closed form, rings at the knees."""
    from matplotlib.ticker import MaxNLocator

    title = f"Queue {rows[0].src} to {rows[0].dst}, one message a slot"
    with picture(target, title, "depth (slots)", "payload throughput (GB/s)") as axes:
        for colour, (_, of_size) in zip(
            cycle(COLOURS), groupby(rows, lambda row: row.size_bytes), strict=False
        ):
            _draw_size(axes, list(of_size), colour)
        for style, label in (
            ({"marker": "o", "linestyle": ""}, "simulated"),
            ({"linewidth": 1}, "closed form"),
            (RING, "knee"),
        ):
            axes.plot([], [], color=INK, label=label, **style)
        axes.set_xlim(0, max(row.depth for row in rows) + 1)
        axes.set_ylim(0, 1.08 * max(_rate(row, row.messages_per_us) for row in rows))
        axes.xaxis.set_major_locator(MaxNLocator(16, integer=True))


def _draw_size(axes: Any, rows: list[QueueRow], colour: str) -> None:
    limits, deepest = rows[0].limits, max(row.depth for row in rows)
    corner = float(limits.round_trip_ps / limits.interval_ps)  # where slots and units limit alike
    bends = [0.0, *([corner] if corner < deepest else []), deepest]
    peak = _rate(rows[0], limits.messages_per_us(limits.knee))
    axes.plot(bends, [min(1.0, depth / corner) * peak for depth in bends], color=colour, linewidth=1)
    axes.plot(
        [row.depth for row in rows],
        [_rate(row, row.messages_per_us) for row in rows],
        color=colour,
        marker="o",
        markersize=5,
        linestyle="",
        label=f"{format_bytes(rows[0].size_bytes)}: knee at {limits.knee}",
    )
    for row in rows:
        if row.is_knee:
            axes.plot([row.depth], [_rate(row, row.messages_per_us)], color=colour, **RING)


def _rate(row: QueueRow, messages_per_us: float) -> float:
    """GB/s of payload."""
    return row.size_bytes * messages_per_us / 1000


@contextmanager
def picture(target: str, title: str, x: str, y: str) -> Iterator[Any]:
    """Axes to draw on, labelled ``x`` and ``y``; at the end ``target`` is written, whole or not at all."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type,unused-ignore]  # which, its versions differ
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        yield axes
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)
        suffix = Path(target).suffix[1:]
        metadata = {"Date": None} if suffix == "svg" else {}
        with written_whole(target) as part:
            figure.savefig(part, format=suffix, dpi=150, metadata=metadata)
