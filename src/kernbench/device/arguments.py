"""What a kernel is given: which arguments it can take, the tensors in them, and how it takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from copy import copy

import numpy as np

from kernbench.device.array import DeviceArray, KernelOperand
from kernbench.errors import UsageError
from kernbench.lang.jit import JITFunction
from kernbench.lang.pointer import TensorArg
from kernbench.lang.program import PerProgram
from kernbench.messages.owners import Lifetime

# A kernel runs later than its launch, and sees these as they were then (ADR-0026).
_CHANGED_IN_PLACE = (np.ndarray, set, bytearray, deque)


def tensors_in(argument: object) -> Iterator[KernelOperand]:
    """The tensors of an argument: itself, or those in a tuple, list, dict or PerProgram, to any depth."""
    if isinstance(argument, KernelOperand):
        yield argument
    else:
        for inner in _parts(argument):
            yield from tensors_in(inner)


def _parts(argument: object) -> Collection[object]:
    """What a container holds. One of a class of the user's own is no container: it may compute what it gives."""
    if type(argument) is dict:
        return argument.values()
    if isinstance(argument, (tuple, list)) and type(argument) in (tuple, list, PerProgram):
        return argument
    return ()


def owned(arguments: Iterable[object]) -> frozenset[Lifetime]:
    """The tensors that each program is given as its own, by what lives as long as they do."""
    given = [
        tensor for argument in arguments if type(argument) is PerProgram for tensor in tensors_in(argument)
    ]
    return frozenset(tensor.shards.life for tensor in given if isinstance(tensor, DeviceArray))


def check_arg(home: object, kernel: JITFunction, name: str, argument: object) -> None:
    """Refuse an argument that a kernel cannot take, or with a tensor that it cannot reach.

    Raises:
        UsageError: an array or a list of numbers (which a constexpr may be), or a tensor that is freed, lies on the
            host, or belongs to another device; a container that holds itself.
    """
    try:
        if name not in kernel.constants:
            _require_no_values(f"kernel {kernel.__name__!r}: argument {name!r}", argument)
        tensors = list(tensors_in(argument))
    except RecursionError:
        raise UsageError(
            f"kernel {kernel.__name__!r}: argument {name!r} is a {type(argument).__name__} that leads back "
            "to itself; pass its parts"
        ) from None
    for tensor in tensors:
        what = f"kernel {kernel.__name__!r}: argument {name!r} is {tensor.name!r}"
        if not isinstance(tensor, DeviceArray):
            raise UsageError(f"{what}, a tensor on the host; copy it with .to('ahbm')")
        if tensor.home is not home:
            raise UsageError(
                f"{what}, a tensor of another simulation, made at {tensor.made}; copy it by way of numpy()"
            )
        if tensor.is_freed:
            raise UsageError(f"{what}, which was freed {tensor.freed}; make a new tensor, or free it later")


def _require_no_values(what: str, argument: object) -> None:
    """UsageError for values of the host that look like a tensor: an array, or a list of numbers."""
    if isinstance(argument, np.ndarray) and argument.ndim:
        raise UsageError(
            f"{what} is a numpy array {list(argument.shape)}; copy it to the device with torch.from_numpy(x).to('ahbm')"
        )
    if type(argument) is PerProgram:
        return
    inner = _parts(argument)
    if type(argument) is list and any(isinstance(x, (int, float, np.generic)) for x in inner):
        raise UsageError(
            f"{what} is a list of numbers; copy them to the device with torch.tensor(x), or pass tuple(x), whose "
            "numbers are scalars"
        )
    for each in inner:
        _require_no_values(what, each)


def kernel_arg(argument: object) -> object:
    """``argument`` as a kernel takes it: a device tensor as its addresses, and what changes in place as it is now.

    An array of no dimensions is the number that it holds.
    """
    if type(argument) is tuple or type(argument) is list or type(argument) is PerProgram:
        return type(argument)([kernel_arg(inner) for inner in argument])
    if type(argument) is dict:
        return {key: kernel_arg(inner) for key, inner in argument.items()}
    if isinstance(argument, np.ndarray) and not argument.ndim:
        return argument[()]
    if not isinstance(argument, DeviceArray):
        return copy(argument) if isinstance(argument, _CHANGED_IN_PLACE) else argument
    return TensorArg(
        argument.name,
        argument.data_ptr(),
        argument.dtype,
        argument.shape,
        argument.nbytes,
        argument.shards.life,
    )
