"""Bus bandwidth against size, a line for each algorithm: the picture of ``kernbench ccl --plot``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kernbench.cli.console import sign_of_life
from kernbench.cli.plot import COLOURS, INK, picture
from kernbench.errors import CapacityError, UsageError
from kernbench.units import format_bytes
from kernbench.wording import plural

if TYPE_CHECKING:
    from kernbench.bench.collectives.bench import CclBench
    from kernbench.bench.collectives.row import CclRow

MARKERS = "os^Dv<>P"


def draw(
    plot: str, bench: CclBench, rows: Sequence[CclRow], sizes: Sequence[int], topology: str
) -> Iterator[str]:
    """All algorithms that can serve; says which do not fit. What was measured for the page is not measured again."""
    known = {(row.algorithm, size): row for row, size in zip(rows, sizes, strict=True)}
    found: dict[str, list[CclRow]] = {}
    with sign_of_life("drawing") as tell:
        for name in bench.able:
            tell(name)
            try:
                measured = [known.get((name, size)) or bench.row(size, name) for size in sizes]
            except CapacityError as error:
                yield f"# not drawn: {name}: {error}"
                continue
            if any(row.size_bytes for row in measured):
                found[name] = [row for row in measured if row.size_bytes]
    if not found:
        raise UsageError(f"--plot {plot}: nothing is moved at these sizes; give larger ones")
    request = bench.request
    how = "oracle" if request.is_oracle else "ideal" if request.is_ideal else topology
    draw_busbw(
        plot,
        f"{request.collective} of {request.dtype} on {plural(len(bench.ranks.pes), 'rank')}, {how}",
        found,
    )


def draw_busbw(target: str, title: str, rows: Mapping[str, Sequence[CclRow]]) -> None:
    """``rows`` by algorithm, of the first half; those equal at every size are one line with all their names."""
    with picture(target, title, "size (bytes of the larger buffer of a rank)", "busbw (GB/s)") as axes:
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
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [format_bytes(size) for size in sizes])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.tick_params(colors=INK)


def _alike(rows: Mapping[str, Sequence[CclRow]]) -> list[tuple[list[str], dict[int, float]]]:
    """Names, and busbw by size, of each line."""
    lines: list[tuple[list[str], dict[int, float]]] = []
    for name, found in rows.items():
        busbw = {row.size_bytes: row.first.busbw for row in found}
        names = next((names for names, other in lines if other == busbw), None)
        if names is None:
            lines.append(([name], busbw))
        else:
            names.append(name)
    return lines
