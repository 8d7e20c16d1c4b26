"""A run in which nothing is left to happen and something waits is an error with a map."""

import pytest

from kernbench.components.base import COMPONENTS, Component
from kernbench.errors import DeadlockError
from kernbench.lang import jit, tl
from kernbench.simulation import simulate

LOSES_TILES = "pe_math_that_loses_tiles_v1"


@pytest.fixture
def lossy():
    """A PE_MATH that takes tiles and passes none on."""

    class Lossy(Component):
        kind = "pe_math"

        def entry(self, stage):
            return self.inbox

        def processes(self):
            yield "lose", self.run()

        def run(self):
            while True:
                yield self.inbox.get()

    COMPONENTS.register(LOSES_TILES)(Lossy)
    return LOSES_TILES


@jit
def kernel(x_ptr):
    at = tl.arange(0, 64)
    x = tl.load(x_ptr + at)
    tl.store(x_ptr + at, x * 2.0)


def test_a_lost_tile_is_mapped_to_the_commands_that_wait_for_it(lossy):
    torch = simulate("tiny", overrides=(f"components.pe_math={lossy}",)).torch
    x = torch.ones(64, dtype="fp32", name="x")
    torch.launch(kernel, (1,), (x,), place=[2])
    with pytest.raises(DeadlockError) as stuck:
        torch.synchronize()
    head, *lines = str(stuck.value).split("\n  ")
    assert head.startswith("nothing is left to happen at ")
    assert head.endswith(", and these wait:")
    line = kernel.fn.__code__.co_firstlineno + 4
    assert [text.replace(__file__.rsplit("/", 1)[1], "FILE") for text in lines] == [
        "sip0.cube0.pe2.pe_cpu  waits for its last commands; 2 commands not complete",
        f"sip0.cube0.pe2.pe_scheduler  FILE:{line}: math, 1 of 1 tiles left",
        f"sip0.cube0.pe2.pe_scheduler  FILE:{line}: store, 1 of 1 tiles left, behind math of FILE:{line}",
    ]
