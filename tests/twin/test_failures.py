"""What goes wrong does so in the same words, with the same code, on both engines; and Ctrl-C is always heard."""

import functools
from pathlib import Path
from random import Random

import pytest

from tests.twin.commands import Said, command

HERE = Path(__file__).parent
PARTS = HERE / "broken_parts.py"
KERNELS = str(HERE / "broken_kernels.py")
ON_TINY = ("run", KERNELS, "--topology", "tiny")
WITH_PARTS = (*ON_TINY, "--plugin", str(PARTS), "--set")
WAYS = (
    *(
        "loses",
        "forgets",
        "raises",
        "yields_text",
        "yields_a_float",
        "yields_truth",
        "yields_nothing",
        "goes_back",
    ),
    *("sleeps_for_ever", "fires_twice", "waits_for_itself"),
    *("gives_too_much", "takes_too_much", "schedules_the_past"),
    *("schedules_what_raises", "stops"),
)
FAILING = {
    **{f"a part that {way}": (*WITH_PARTS, f"components.pe_math=math_that_{way}") for way in WAYS},
    "a memory that raises": (*WITH_PARTS, "cube.hbm.model=bad_memory"),
    **{
        f"a kernel: {what}": (*ON_TINY, "-p", f"what={what}")
        for what in ("raise", "divide", "outside", "shape", "fill")
    },
    "no time left": (*ON_TINY, "-p", "what=spin", "--max-time", "50us"),
}


def ended(*args: str) -> Said:
    """A command without the line that says which engine ran."""
    said = command(*args)
    lines = [line for line in said.stdout.splitlines() if not line.startswith("engine ")]
    return said._replace(stdout="\n".join(lines))


@pytest.mark.parametrize("what", FAILING)
def test_it_fails_in_the_same_words_with_the_same_code(twins, what):
    (said,) = twins.agreed(ended, [FAILING[what]])
    assert said.code in (1, 2, 3, 70), said
    assert said.stderr.startswith("kernbench: ")


def test_a_unit_that_does_not_call_its_base_is_told_so():
    said = ended(*FAILING["a part that forgets"])
    text = "sip0.cube0.pe0.pe_math: Forgets.__init__ has to call super().__init__(site) before all else"
    assert (said.code, said.stderr) == (2, f"kernbench: tests/twin/broken_kernels.py:29: {text}\n")


INTERRUPTED = {
    "a polling kernel": (*ON_TINY, "-p", "what=spin"),
    "a product": ("run", "gemm", "--topology", "tiny", "-p", "m=1024", "-p", "n=1024", "-p", "k=1024"),
}


@pytest.mark.parametrize("what", INTERRUPTED)
def test_ctrl_c_is_heard_at_any_moment(twins, some, what):
    rng = Random(what)
    for _ in some(range(50)):
        interrupt_s = rng.uniform(0.02, 0.5)
        ask = functools.partial(command, interrupt_s=interrupt_s)
        for said in twins.ask(ask, *INTERRUPTED[what]):
            assert said == (130, "", "kernbench: interrupted\n"), interrupt_s
