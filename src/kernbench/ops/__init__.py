"""What a kernel can ask for: work and meaning of every op, and the one evaluator of their values."""

from kernbench.ops.dot import dot_form, evaluate_dot
from kernbench.ops.spec import OPS, OpSpec, Typed, Unit, compute, evaluate, plan

OPS.load(__name__)

__all__ = ["OPS", "OpSpec", "Typed", "Unit", "compute", "dot_form", "evaluate", "evaluate_dot", "plan"]
