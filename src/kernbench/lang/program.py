"""Runs one program of a launch on a port."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kernbench.dtypes import float32, int1, int32, int64, uint64
from kernbench.errors import KernBenchError, KernelError, UsageError, in_one_line, is_of_a_program
from kernbench.lang.block import ACTIVE, Block
from kernbench.lang.constants import constexpr
from kernbench.lang.context import ProgramContext
from kernbench.lang.jit import JITFunction, as_kernel
from kernbench.lang.known import known_number
from kernbench.lang.pointer import Pointer, TensorArg
from kernbench.lang.port import KernelPort
from kernbench.lang.source import IS_SHIPPED, is_shipped, line_of
from kernbench.lang.strays import RUNNING
from kernbench.ops.numerics import int_limits


class PerProgram(tuple[Any, ...]):
    """An argument of a launch that differs from program to program: program p gets element p."""

    __slots__ = ()


class KernelCall:
    """``kernel(*args, **meta)``, as each program of a launch calls it.

    Host tensors among the arguments arrive as :class:`~kernbench.lang.pointer.TensorArg`; of a :class:`PerProgram`, a
    program gets its own.
    """

    def __init__(
        self, kernel: JITFunction | Callable[..., Any], args: tuple[Any, ...], meta: Mapping[str, Any]
    ) -> None:
        self.kernel = as_kernel(kernel)
        self.args = args
        self.meta = meta
        self._differs = any(isinstance(x, PerProgram) for x in args)
        self._shared: inspect.BoundArguments | None = None

    def arguments(self, program: int) -> inspect.BoundArguments:
        """What ``program`` calls the kernel with; made once, unless it differs or a kernel could change it."""
        if self._shared is not None:
            return self._shared
        own = tuple([x[program] if isinstance(x, PerProgram) else x for x in self.args])
        bound = self.kernel.bind(own, self.meta)
        arguments = arguments_of(self.kernel, bound)
        if not self._differs and not any(type(x) in (tuple, list, dict) for x in bound.values()):
            self._shared = arguments
        return arguments


def run_program(call: KernelCall, port: KernelPort) -> None:
    """Run ``call`` as the program that ``port`` says, to its end.

    Raises:
        KernelError: the kernel raised an exception of its own; it names the kernel's line.
        KernBenchError: the kernel asked for something that cannot be (shape, capacity, page fault ...).
    """
    function, arguments = call.kernel.fn, call.arguments(port.program)
    program = ProgramContext(port)
    token, shipped = ACTIVE.set(program), IS_SHIPPED.set(is_shipped(function))
    RUNNING.add(program)
    try:
        function(*arguments.args, **arguments.kwargs)
        if program.stray is not None:
            raise program.stray
        program.finish()
    except KernBenchError:
        raise
    except BaseException as error:  # sys.exit in a kernel ends no simulator
        if program.stray is not None:
            raise program.stray from None
        if not is_of_a_program(error):
            raise
        ids = ", ".join(str(i) for i in port.program_ids)
        raise KernelError(
            f"{line_of(error.__traceback__)}: program ({ids}) on {port.pe_name}: {in_one_line(error)}"
        ) from error
    finally:
        program.is_open = False
        RUNNING.discard(program)
        ACTIVE.reset(token)
        IS_SHIPPED.reset(shipped)


def arguments_of(kernel: JITFunction, bound: Mapping[str, Any]) -> inspect.BoundArguments:
    """Bound arguments as the kernel sees them, in the order of its signature."""
    named = {name: argument(x, is_constant=name in kernel.constants) for name, x in bound.items()}
    arguments = kernel.signature.bind_partial()
    arguments.arguments = named
    return arguments


def argument(x: Any, *, is_constant: bool = False) -> Any:
    """One argument as a kernel sees it.

    A tensor is a pointer to its first element; an int is an int32, int64 or uint64 scalar by its magnitude, a float
    fp32, a bool int1; a constexpr is the Python value. None, strings, dtypes and functions pass.
    """
    if isinstance(x, np.generic) and not isinstance(x, np.ndarray):
        x = x.item()
    if is_constant:
        return constexpr(x)
    if isinstance(x, TensorArg):
        return Pointer.of(x)
    if type(x) in (tuple, list):
        return type(x)([argument(y) for y in x])
    if type(x) is dict:
        return {key: argument(y) for key, y in x.items()}
    if isinstance(x, Block):
        return x
    if isinstance(x, (bool, int, float)):
        return _number(x)
    return x


def _number(x: bool | int | float) -> Block:
    if isinstance(x, float):
        return known_number(x, float32)
    for dtype in (int32, int64, uint64):
        low, high = int_limits(dtype)
        if isinstance(x, bool) or low <= x <= high:
            return known_number(x, int1 if isinstance(x, bool) else dtype)
    raise UsageError(f"argument {x} fits no integer of 64 bits")
