"""``tl`` is what an editor shows of it: its names, and the methods that blocks have of it."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

import kernbench as kb
from kernbench import tl
from kernbench.errors import ShapeError
from kernbench.lang import block
from kernbench.lang.block import Block
from kernbench.ops.elementwise import elementwise


def declared():
    """The methods of a block that type checkers are told of, as functions of the module that would define them."""
    tree = ast.parse(inspect.getsource(block))
    (kind,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Block")
    (told,) = (node for node in kind.body if isinstance(node, ast.If))
    return {node.name: node for node in told.body if isinstance(node, ast.FunctionDef)}


def parameters(function):
    """Names, kinds and defaults but for the first parameter, which is the block."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()][1:]


@pytest.mark.parametrize("name", declared())
def test_a_method_that_is_declared_is_the_function_of_tl(name):
    names = {}
    exec(f"from __future__ import annotations\n{ast.unparse(declared()[name])}", names)
    assert parameters(names[name]) == parameters(getattr(Block, name))
    assert getattr(Block, name) is getattr(tl, {"to": "cast"}.get(name, name))


def test_no_method_of_tl_is_undeclared():
    given = {name for name, thing in vars(Block).items() if getattr(thing, "__module__", "") == tl.__name__}
    assert given == declared().keys()


@pytest.mark.parametrize("name", [name for name in tl.__all__ if inspect.isfunction(getattr(tl, name))])
def test_a_function_says_what_it_takes_and_gives(name):
    """No parameter of unknown name, none without a type, and a docstring that is more than the name."""
    function = getattr(tl, name)
    signature = inspect.signature(function)
    free = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert free == []
    assert signature.return_annotation is not signature.empty
    assert len(function.__doc__.split()) > 2


def test_an_op_of_a_plugin_is_a_method_too_and_takes_its_operands():
    elementwise("softsign", lambda x: x / (1 + np.abs(x)), div=1, add=2)
    seen = []

    def kernel():
        seen.append(tl.full((4,), 1.0, tl.float32).softsign().sum().item())
        with pytest.raises(
            ShapeError, match=r"test_signatures\.py:\d+: tl\.softsign: takes 1 operand, not 2$"
        ):
            tl.softsign(1.0, 2.0)
        with pytest.raises(AttributeError, match=r"^'Known' object has no attribute 'foo'$"):
            tl.zeros((4,), tl.int32).foo()

    kb.testing.run(kernel, (1,), [], mode="data")
    assert seen == [2.0]
