"""What a kernel can ask for: work and meaning of every op, and the one evaluator of their values."""

from kernbench.ops import dot as _dot
from kernbench.ops import elementwise as _elementwise
from kernbench.ops import reduce as _reduce
from kernbench.ops import shape as _shape
from kernbench.ops import softmax as _softmax
from kernbench.ops.dot import dot_form, evaluate_dot
from kernbench.ops.spec import OPS, OpSpec, Typed, Unit, evaluate, plan

BUILT_IN = (_dot, _elementwise, _reduce, _shape, _softmax)  # importing them registers their ops

__all__ = ["BUILT_IN", "OPS", "OpSpec", "Typed", "Unit", "dot_form", "evaluate", "evaluate_dot", "plan"]
