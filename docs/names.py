"""The pages of the site that list what a user can say: all names of ``kb``, ``tl`` and ``torch``.

The names are those that the running code has, since many are made in loops or found when they are first used.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import kernbench as kb
from kernbench import tl
from kernbench.torch.names import METHODS
from kernbench.torch.tensor import DeviceTensor, HostTensor

Names = dict[str, Any]


def namespaces() -> dict[str, Names]:
    """What each name is, by where a user finds it: ``kb``, ``tl``, ``torch`` and the parts of ``torch``."""
    torch = kb.simulate("tiny").torch
    parts = {name: public(getattr(torch, name)) for name in ("distributed", "multiprocessing", "ahbm")}
    host, device = public(HostTensor), public(DeviceTensor)
    methods = {name: method for name, method in METHODS.items() if name[0] != "_"}
    return {
        "kb": {name: getattr(kb, name) for name in sorted(kb.__all__)},
        "tl": {name: getattr(tl, name) for name in sorted(tl.__all__)},
        "torch": {name: thing for name, thing in public(torch).items() if name not in parts},
        "torch.Tensor": {name: (device | host | methods)[name] for name in sorted(device | host | methods)},
    } | {f"torch.{name}": there for name, there in parts.items()}


def public(thing: Any) -> Names:
    """What ``dir`` shows of ``thing``, without what is private."""
    return {name: getattr(thing, name) for name in dir(thing) if name[0] != "_"}


def page(*wheres: str) -> str:
    """The page of the names in ``wheres``, in reStructuredText."""
    return "\n".join(line for n, where in enumerate(wheres) for line in _section(where, "-" if n else "="))


def _section(where: str, underline: str) -> Iterator[str]:
    yield from (where, underline * len(where), "")
    if where != "torch.Tensor":  # a name of torch, too
        yield from (f".. py:module:: {where}", "")
    for name, thing in namespaces()[where].items():
        yield f".. py:{_kind(thing)}:: {name}{_signature(thing)}"
        yield f"   :module: {where}"
        yield ""
        module = _home(thing)
        if module:
            yield from (f"   .. py:currentmodule:: {module}", "")
        said = re.sub(r":meth:`(\w+)`", rf":meth:`\1 <{where}.\1>`", _says(thing))
        yield from (f"   {line}" for line in said.splitlines())
        yield ""


def _kind(thing: Any) -> str:
    if inspect.isclass(thing):
        return "class"
    if isinstance(thing, property):
        return "property"
    return "function" if callable(thing) and not isinstance(thing, ModuleType) else "data"


def _home(thing: Any) -> str | None:
    """The module that defines a class or a function."""
    if isinstance(thing, property):
        thing = thing.fget
    if isinstance(thing, partial):
        thing = thing.func
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        thing = type(thing)
    module = getattr(thing, "__module__", None)
    return module if module and module.startswith("kernbench.") else None


def _says(thing: Any) -> str:
    """The first paragraph of the docstring, and where the whole stands."""
    if isinstance(thing, partial):
        thing = thing.func
    if isinstance(thing, ModuleType):
        return f"The module :py:mod:`{thing.__name__.removesuffix('.lang')}`."
    if _kind(thing) == "data":
        kind = type(thing)
        return (
            f"A :py:class:`~{kind.__module__}.{kind.__qualname__}`."
            if _home(thing)
            else f"A {kind.__name__}."
        )
    text = re.sub(r":{1,2}$", ".", inspect.cleandoc(inspect.getdoc(thing) or "").split("\n\n")[0])
    if not text:
        return "As in PyTorch, of tensors on the host."
    full = _full_name(thing)
    return f"{text}\n\nDefined as :py:obj:`{full}`." if full else text


def _full_name(thing: Any) -> str | None:
    """Where a class or a function is defined, if it can be found there."""
    module, name = _home(thing), getattr(thing, "__qualname__", "<>")
    written = (
        getattr(getattr(inspect.unwrap(thing), "__code__", None), "co_name", name) == name.rpartition(".")[2]
    )
    is_class = inspect.isclass(thing)
    return f"{module}.{name}" if module and (is_class or written) and not re.search(r"<|\b_", name) else None


def _signature(thing: Any) -> str:
    """The arguments, without their types."""
    if not callable(thing) or isinstance(thing, ModuleType):
        return ""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    bare = [
        p.replace(annotation=p.empty, default=p.default if _is_plain(p.default) else ...)
        for p in signature.parameters.values()
    ]
    return str(inspect.Signature(bare)).replace("=Ellipsis", "=...")


def _is_plain(default: Any) -> bool:
    return default is inspect.Parameter.empty or isinstance(default, (str, int, float, tuple, type(None)))


def promised() -> Iterator[str]:
    """The full name of everything public: what a user can say, and the classes behind it."""
    for where, there in namespaces().items():
        yield from (f"{where}.{name}" for name in there)
    for package in ("components", "engine", "ccl", "dist", "device"):
        root = import_module(f"kernbench.{package}")
        for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            for name, thing in vars(import_module(module.name)).items():
                if inspect.isclass(thing) and thing.__module__ == module.name and name[0] != "_":
                    yield f"{module.name}.{name}"
