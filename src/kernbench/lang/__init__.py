"""The kernel language. ``from kernbench import lang as tl`` gives a kernel all its words, and ``jit``."""

from typing import Any

from kernbench.lang import tl as _tl
from kernbench.lang.jit import JITFunction, jit, launch_with
from kernbench.lang.pointer import TensorArg
from kernbench.lang.program import KernelCall, run_program
from kernbench.lang.tl import *  # noqa: F403 - this package is the namespace ``tl``


def __getattr__(name: str) -> Any:
    return getattr(_tl, name)


__all__ = ["JITFunction", "KernelCall", "TensorArg", "jit", "launch_with", "run_program", *_tl.__all__]
