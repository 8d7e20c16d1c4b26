"""From a grid to programs on PEs, by a stated rule or as the caller says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kernbench.device.arguments import tensors_in
from kernbench.device.array import DeviceArray
from kernbench.errors import KernBenchError, ShapeError, UsageError
from kernbench.lang.jit import JITFunction, launch_with
from kernbench.machine.launch import Program
from kernbench.topology.ids import PeId
from kernbench.wording import plural, quoted

Grid = tuple[int, int, int]
Place = str | Sequence[int | str | PeId] | Callable[[tuple[int, int, int]], int | str | PeId] | None


def place_programs(
    grid: Grid, args: Sequence[object], place: Place, pes: Sequence[PeId], default: Sequence[int] = ()
) -> list[Program]:
    """Every program of ``grid``, in order, with its PE.

    Programs are counted with the first axis fastest. With ``place`` None, program p of G runs on the (p * n // G)-th of
    the n PEs that the first argument is dealt to that has several parts, or that its policy's ``only`` put on certain
    PEs; where there is none, of the PEs numbered ``default``, or of all. "cyclic" deals programs to the same PEs in
    turn. A list names the PE of each program, a function that of the program with given ids; a PE is a number, a
    :class:`PeId`, or a name like "sip0.cube1.pe3".
    """
    nx, ny, nz = grid
    ids = [(x, y, z) for z in range(nz) for y in range(ny) for x in range(nx)]
    chosen = _chosen(ids, args, place, default or range(len(pes)))
    # Only where a caller names PEs: a machine may have thousands, and most launches name none.
    numbers = {pe: number for number, pe in enumerate(pes)} if place is not None and place != "cyclic" else {}
    return [
        Program(index, at, _pe_number(pe, index, pes, numbers))
        for index, (at, pe) in enumerate(zip(ids, chosen, strict=True))
    ]


def _chosen(
    ids: Sequence[Grid], args: Sequence[object], place: Place, default: Sequence[int]
) -> Sequence[int | str | PeId]:
    """The PE of each program, as the caller or the rule names it."""
    if callable(place):
        return [place(at) for at in ids]
    if place is None or isinstance(place, str):
        if place not in (None, "cyclic"):
            raise UsageError(
                f"launch: place={quoted(place)} is unknown; give 'cyclic', a list of PEs, or a function"
            )
        dealt_to = _pes_of(args, default)
        n, total = len(dealt_to), len(ids)
        return [dealt_to[p % n if place == "cyclic" else p * n // total] for p in range(total)]
    if not isinstance(place, Sequence):
        raise UsageError(
            f"launch: place={quoted(place)} is no place; give 'cyclic', a list of PEs, or a function"
        )
    if len(place) != len(ids):
        raise ShapeError(
            f"launch: place lists {plural(len(place), 'PE')} for {plural(len(ids), 'program')}; it must name one "
            "for each"
        )
    return place


def _pes_of(args: Sequence[object], default: Sequence[int]) -> Sequence[int]:
    """The PEs that the first argument that goes to certain ones is dealt to; ``default`` if none does.

    They are in their own order, or in that of a policy's ``only``, as the rows are. An empty view lies nowhere.
    """
    for argument in args:
        for tensor in tensors_in(argument):
            if not isinstance(tensor, DeviceArray) or not tensor.nbytes:
                continue
            pes = tensor.part_pes
            if tensor.policy.pes:
                return [pe for pe in tensor.policy.pes if pe in pes]
            if tensor.parts.grid.n_cells > 1:
                return pes
    return default


def _pe_number(pe: int | str | PeId, program: int, pes: Sequence[PeId], numbers: Mapping[PeId, int]) -> int:
    if isinstance(pe, str):
        try:
            pe = PeId.parse(pe)
        except KernBenchError as error:
            raise UsageError(f"launch: place of program {program}: {error}") from None
    number = numbers.get(pe, -1) if isinstance(pe, PeId) else pe
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(pes):
        shown = str(pe) if isinstance(pe, PeId) else repr(pe)
        raise UsageError(
            f"launch: place of program {program}: there is no PE {shown}; "
            f"PEs are 0..{len(pes) - 1}, {pes[0]}..{pes[-1]}"
        )
    return number


def launch_beside_data(
    kernel: JITFunction, grid: object, args: tuple[object, ...], named: dict[str, object]
) -> None:
    """``kernel[grid](*args, **named)``: run on the device of the first tensor among the arguments.

    Raises:
        UsageError: there is no tensor among them.
    """
    tensors = [*tensors_in(args), *tensors_in(named)]
    if not tensors:
        raise UsageError(
            f"kernel {kernel.__name__!r} has no tensor among its arguments to say on which device it runs; "
            "launch it with torch.launch(kernel, grid, args)"
        )
    tensors[0].home.launch(kernel, grid, args, named)


launch_with(launch_beside_data)
