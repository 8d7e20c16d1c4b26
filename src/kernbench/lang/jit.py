"""``@jit``: marks a function as a kernel, launched by ``kernel[grid](...)`` or called from another kernel.

How a launch happens is the host's affair: the host API names itself once with :func:`launch_with`.
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import prod
from operator import index
from types import FunctionType
from typing import Any

from kernbench.errors import UsageError
from kernbench.lang import tl, words
from kernbench.lang.block import ACTIVE
from kernbench.lang.constants import constexpr, is_constexpr
from kernbench.lang.source import here
from kernbench.registry import did_you_mean
from kernbench.wording import plural, quoted

Grid = Any  # a tuple of 1 to 3 integers, or a function of the arguments by name that gives one
Launcher = Callable[["JITFunction", Grid, tuple[Any, ...], dict[str, Any]], Any]

_launcher: Launcher | None = None  # of the process: which device a kernel runs on, its tensors say

MOST_PROGRAMS = 1 << 20  # of a launch; each is an object on the host, and a greenlet while it runs

_ALL_BY_PLACE, _ALL_BY_NAME = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

# Words of a launch that say how a GPU should run it; accepted, and of no effect here.
GPU_HINTS = frozenset({"launch_cooperative_grid", "maxnreg", "num_ctas", "num_stages", "num_warps"})

# The compiler's meaning of Python's words inside a kernel.
KERNEL_BUILTINS = vars(builtins) | {
    "max": words.python_max,
    "min": words.python_min,
    "print": words.kernel_print,
    "range": words.range,
}


def launch_with(launcher: Launcher | None) -> Launcher | None:
    """Let ``kernel[grid](...)`` call ``launcher(kernel, grid, args, named)``; gives what it called before."""
    global _launcher
    before, _launcher = _launcher, launcher
    return before


class JITFunction:
    """A kernel. ``fn`` is the function that runs; ``constants`` are the names of its constexpr parameters."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        if not callable(fn) or isinstance(fn, type):
            raise UsageError(f"a kernel is a function, not {quoted(fn)}")
        if not _runs_when_called(fn):
            name = getattr(fn, "__name__", repr(fn))
            raise UsageError(
                f"kernel {name!r} must be a plain function; one with yield or async would not run"
            )
        self.fn = _in_kernel_words(fn)
        self.signature = inspect.signature(fn)
        self.constants = frozenset(
            name for name, p in self.signature.parameters.items() if is_constexpr(p.annotation)
        )
        self.__name__ = getattr(fn, "__name__", "kernel")
        self.__qualname__ = getattr(fn, "__qualname__", self.__name__)
        self.__module__ = getattr(fn, "__module__", "")
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn
        self.reach: Any = None  # what it reads beside its arguments, once that was found (see ``lang.reach``)

    def __getitem__(self, grid: Grid) -> Callable[..., Any]:
        def launch(*args: Any, **named: Any) -> Any:
            if ACTIVE.get(None) is not None:
                raise UsageError(
                    f"{here()}: a kernel cannot launch {self.__name__!r}; "
                    "call it without a grid, or launch it from the host"
                )
            if _launcher is None:
                raise UsageError(
                    f"kernel {self.__name__!r} has no device to run on; launch it within a bench, or call "
                    "torch.launch(kernel, grid, ...)"
                )
            return _launcher(self, grid, args, named)

        return launch

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the kernel from within another one."""
        if ACTIVE.get(None) is None:
            raise UsageError(
                f"kernel {self.__name__!r} is called without a grid; launch it with kernel[grid](...)"
            )
        if not self.constants:
            return self.fn(*args, **named)
        try:
            bound = self._bound(args, named)
        except UsageError as error:
            raise UsageError(f"{here()}: {error}") from None
        for name in self.constants:
            bound.arguments[name] = constexpr(bound.arguments[name])
        return self.fn(*bound.args, **bound.kwargs)

    def bind(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, defaults applied, hints for a GPU dropped.

        Raises:
            UsageError: they do not fit the kernel's signature.
        """
        parameters = self.signature.parameters
        kept = {name: x for name, x in named.items() if name in parameters or name not in GPU_HINTS}
        if "tl" in parameters and "tl" not in kept and len(args) <= list(parameters).index("tl"):
            kept["tl"] = tl
        return dict(self._bound(args, kept).arguments)

    def _bound(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> inspect.BoundArguments:
        """Arguments by name, defaults applied; UsageError if they do not fit the signature."""
        try:
            bound = self.signature.bind_partial(*args, **named)
        except TypeError as error:
            raise UsageError(f"kernel {self}: {self._misfit(args, named) or error}") from None
        bound.apply_defaults()
        missing = [
            repr(name)
            for name, parameter in self.signature.parameters.items()
            if name not in bound.arguments and parameter.kind not in (_ALL_BY_PLACE, _ALL_BY_NAME)
        ]
        if missing:
            raise UsageError(f"kernel {self}: no value for {', '.join(missing)}")
        return bound

    def _misfit(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> str:
        """Which of the arguments given do not fit; "" for what Python has to say."""
        parameters = self.signature.parameters.values()
        kinds = [parameter.kind for parameter in parameters]
        if _ALL_BY_NAME not in kinds:
            for name in named:
                if name not in self.signature.parameters:
                    return f"no argument {name!r}; {did_you_mean(name, self.signature.parameters)}"
        by_place = [parameter for parameter in parameters if parameter.kind in _BY_PLACE]
        if _ALL_BY_PLACE not in kinds and len(args) > len(by_place):
            return f"it takes {plural(len(by_place), 'argument')} by place, not {len(args)}"
        return ""

    def __reduce__(self) -> str:
        """By its name in its module, as Python pickles functions."""
        return self.__qualname__

    def __str__(self) -> str:
        """The kernel with its parameters, as they were written."""
        written = [
            parameter.replace(annotation=_as_written(parameter.annotation))
            for parameter in self.signature.parameters.values()
        ]
        return f"{self.__name__}{self.signature.replace(parameters=written)}"

    def __repr__(self) -> str:
        return f"<kernel {self.__qualname__}>"


def jit(fn: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorator: make ``fn`` a kernel. Triton's options are accepted and have no effect.

    It is launched with a grid, ``kernel[grid](...)``, on the device of the first tensor among its arguments, and called
    without one from within another kernel.

    >>> import kernbench as kb
    >>> @jit
    ... def double(x_ptr, BLOCK: tl.constexpr):
    ...     at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ...     tl.store(x_ptr + at, 2 * tl.load(x_ptr + at))
    >>> x = kb.simulate("tiny").torch.ones(64)
    >>> double[(4,)](x, BLOCK=16)
    >>> x.cpu().sum().item()
    128.0

    Raises:
        UsageError: ``fn`` is no plain function.
    """
    return JITFunction if fn is None else JITFunction(fn)


def as_kernel(kernel: Any) -> JITFunction:
    """``kernel`` itself, or a plain function as one."""
    if isinstance(kernel, JITFunction):
        return kernel
    return _made_of(kernel) if callable(kernel) else JITFunction(kernel)


@lru_cache(maxsize=256)
def _made_of(function: Callable[..., Any]) -> JITFunction:
    return JITFunction(function)


def grid_of(grid: Grid, named: Mapping[str, Any]) -> tuple[int, int, int]:
    """The extents of a grid on three axes; a function of the arguments is called with ``named``.

    Raises:
        UsageError: it is no tuple of one to three integers of 0 or more; of 0, nothing is launched.
    """
    extents = grid(dict(named)) if callable(grid) else grid
    extents = extents if isinstance(extents, (tuple, list)) else (extents,)
    try:
        sizes = [index(n) for n in extents]
    except Exception:  # whatever an object raises that is asked for its index
        sizes = []
    if not 1 <= len(sizes) <= 3 or any(n < 0 for n in sizes):
        raise UsageError(
            f"grid {quoted(extents)} must be one to three integers of 0 or more, such as (n_programs,)"
        )
    if prod(sizes) > MOST_PROGRAMS:
        raise UsageError(
            f"grid {quoted(tuple(sizes))} has {quoted(prod(sizes))} programs, and a launch takes {MOST_PROGRAMS} at "
            "most; give each program more of the work"
        )
    x, y, z = sizes + [1] * (3 - len(sizes))
    return x, y, z


class _TextAnnotation(str):
    """An annotation that shows as its text."""

    __slots__ = ()
    __repr__ = str.__str__


def _as_written(annotation: Any) -> Any:
    if is_constexpr(annotation):
        return _TextAnnotation(annotation if isinstance(annotation, str) else "tl.constexpr")
    return _TextAnnotation(annotation) if isinstance(annotation, str) else annotation


def _runs_when_called(fn: Callable[..., Any]) -> bool:
    """Whether calling ``fn`` runs it, rather than making a generator or a coroutine."""
    kinds = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return not any(is_kind(fn) for is_kind in kinds)


def _in_kernel_words(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` with :data:`KERNEL_BUILTINS`: the same code and globals; Python takes a function's builtins from its
    globals when the function is made."""
    if not isinstance(fn, FunctionType):
        return fn
    names = fn.__globals__
    before = names.get("__builtins__")
    names["__builtins__"] = KERNEL_BUILTINS
    try:
        kernel = FunctionType(fn.__code__, names, fn.__name__, fn.__defaults__, fn.__closure__)
    finally:
        if before is None:
            del names["__builtins__"]
        else:
            names["__builtins__"] = before
    kernel.__kwdefaults__ = fn.__kwdefaults__
    kernel.__qualname__ = fn.__qualname__
    return kernel
