"""What a kernel can ask for: work and meaning of every op, and the one evaluator of their values."""

import importlib
import pkgutil

from kernbench.ops.dot import dot_form, evaluate_dot
from kernbench.ops.spec import OPS, OpSpec, Typed, Unit, evaluate, plan

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")  # which registers the ops of the file

__all__ = ["OPS", "OpSpec", "Typed", "Unit", "dot_form", "evaluate", "evaluate_dot", "plan"]
