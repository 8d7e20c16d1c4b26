"""What a program may use: its own blocks and futures, and pointers into tensors that its launch could be given."""

from __future__ import annotations

from kernbench.errors import PageFaultError, UsageError
from kernbench.lang.block import describe
from kernbench.lang.handle import Future, Maker, TensorHandle
from kernbench.lang.pointer import Pointer
from kernbench.lang.source import here


def foreign(program: Maker, thing: TensorHandle | Future) -> UsageError:
    """The error about a block or future that ``program`` uses and another program made."""
    maker = thing.value.program
    if maker.port.launch is program.port.launch:
        whose = "another program"
    elif maker.port.launch.memory is program.port.launch.memory:
        whose = "an earlier launch"
    else:
        whose = "another simulation"
    name, line = maker.origin(thing.value.version)
    if isinstance(thing, Future):
        kind, name, cure = "future", "it", "wait for it in the program that made it"
    else:
        kind, cure = "block", "load it again in this program, or pass it on through memory or a queue"
    ids = ", ".join(str(i) for i in maker.port.program_ids)
    return UsageError(
        f"{here()}: a {kind} of {whose} is used here: {name} was made at {line} by program ({ids}) on "
        f"{maker.port.pe_name}; {cure}"
    )


def usable(program: Maker, pointer: Pointer) -> Pointer:
    """``pointer``, which was derived from an argument of this launch or an earlier one.

    Raises:
        UsageError: its tensor is one of another simulation.
        PageFaultError: its tensor was freed when the launch of ``program`` was made.
    """
    tensor = pointer.tensor
    if tensor is None or tensor.life is None:
        return pointer
    life, launch = tensor.life, program.port.launch
    is_foreign = life.memory is not launch.memory
    if not is_foreign and not life.ended_before(launch):
        return pointer
    what = f"{tensor.name!r} {describe(tensor.shape, tensor.dtype)}, made at {life.made}"
    if is_foreign:
        raise UsageError(
            f"{here()}: this pointer leads into {what}, a tensor of another simulation; give the kernel one of its own"
        )
    raise PageFaultError(
        f"{here()}: this pointer leads into {what}, which was freed {life.freed}; free it after the last launch that "
        "uses it, or make a new tensor"
    )
