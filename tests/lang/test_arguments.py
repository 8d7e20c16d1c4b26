"""Programs of a launch share the arguments that are the same for all; what a kernel could change is each one's own."""

from kernbench import lang as tl
from kernbench.lang import KernelCall, TensorArg
from kernbench.lang.program import PerProgram

X = TensorArg("x", 64, tl.float32, (8,), 32)


def kernel(x, n, step=1):
    pass


def test_arguments_that_no_kernel_can_change_are_made_once():
    call = KernelCall(kernel, (X, 8), {"step": 2.5})
    assert call.arguments(0) is call.arguments(1)


def test_a_list_is_each_programs_own():
    call = KernelCall(kernel, (X, [1, 2]), {})
    call.arguments(0).arguments["n"].append(3)
    assert [len(call.arguments(program).arguments["n"]) for program in (1, 2)] == [2, 2]


def test_an_argument_that_differs_from_program_to_program_is_each_ones_own():
    call = KernelCall(kernel, (X, PerProgram((4, 5))), {})
    assert [call.arguments(program).arguments["n"].item() for program in (0, 1)] == [4, 5]
