"""Bus bandwidth against size, a line for each algorithm: the picture of ``kernbench ccl --plot``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kernbench.cli.plot import COLOURS, GRID, INK, STYLE, save
from kernbench.units import format_bytes

if TYPE_CHECKING:
    from kernbench.bench.collectives.row import CclRow

MARKERS = "os^Dv<>P"


def draw_busbw(target: str, title: str, rows: Mapping[str, Sequence[CclRow]]) -> None:
    """``rows`` by algorithm, out of place; those that are equal at every size are one line with all their names."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type,unused-ignore]
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        best_first = sorted(_alike(rows), key=lambda item: -max(item[1].values()))
        for i, (names, busbw) in enumerate(best_first):
            axes.plot(
                list(busbw),
                list(busbw.values()),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                linestyle="-" if i < len(COLOURS) else "--",
                markersize=5,
                linewidth=1.4,
                label="\n".join(names),
            )
        sizes = sorted({row.size_bytes for found in rows.values() for row in found})
        axes.set_title(title, loc="left")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [format_bytes(size) for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("size (bytes of the larger buffer of a rank)")
        axes.set_ylabel("busbw (GB/s)")
        axes.set_ylim(bottom=0)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(colors=INK)
        figure.legend(loc="outside right upper", frameon=False)
        save(figure, target)


def _alike(rows: Mapping[str, Sequence[CclRow]]) -> list[tuple[list[str], dict[int, float]]]:
    """Names, and busbw by size, of each line."""
    lines: list[tuple[list[str], dict[int, float]]] = []
    for name, found in rows.items():
        busbw = {row.size_bytes: row.out_of_place.busbw for row in found}
        names = next((names for names, other in lines if other == busbw), None)
        if names is None:
            lines.append(([name], busbw))
        else:
            names.append(name)
    return lines
