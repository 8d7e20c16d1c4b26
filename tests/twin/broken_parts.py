"""PE_MATHs that do something wrong at their first tile, each in its way, and a memory that cannot serve."""

from kernbench.components.base import COMPONENTS
from kernbench.components.memory_model import HBM_MODELS
from kernbench.components.pe.pe_math import PeMath


class Broken(PeMath):
    """Takes a tile, and does wrong what ``breaks`` says."""

    kind = "pe_math"

    def processes(self):
        """One."""
        yield "tiles", self.work()

    def work(self):
        """Take a tile, and break."""
        token = yield self.inbox.get()
        yield from self.breaks(token)

    def breaks(self, token):
        """Take tiles and lose them."""
        while True:
            yield self.inbox.get()


@COMPONENTS.register("math_that_loses")
class Loses(Broken):
    """Nothing goes on."""


@COMPONENTS.register("math_that_forgets")
class Forgets(PeMath):
    """Has none of what a unit is given."""

    kind = "pe_math"

    def __init__(self, site):
        self.own = site


def broken(name, what):
    """Register a PE_MATH whose process does ``what`` with itself."""

    class Part(Broken):
        __doc__ = f"Breaks by {name}."

        def breaks(self, token):
            yield 1
            yield what(self)

    COMPONENTS.register(f"math_that_{name}")(Part)


def raises(part):
    """As a mistake would."""
    raise ValueError(f"no tiles for {part.node.name}")


def fires_twice(part):
    """A signal is fired once."""
    signal = part.engine.signal()
    signal.fire(1)
    signal.fire(2)


def waits_for_itself(part):
    """A signal that nobody fires."""
    return part.engine.signal()


broken("raises", raises)
broken("yields_text", lambda part: "later")
broken("yields_a_float", lambda part: 2.5)
broken("yields_truth", lambda part: True)
broken("yields_nothing", lambda part: None)
broken("goes_back", lambda part: -3)
broken("sleeps_for_ever", lambda part: 1 << 62)
broken("fires_twice", fires_twice)
broken("waits_for_itself", waits_for_itself)
broken("gives_too_much", lambda part: part.engine.credits(2, "few").give(1))
broken("takes_too_much", lambda part: part.engine.credits(2, "few").take(3))
broken("schedules_the_past", lambda part: part.engine.at(part.engine.now_ps - 1, 0, print, None))
broken("schedules_what_raises", lambda part: part.engine.at(part.engine.now_ps + 5, 0, raises, part) or 100)
broken("stops", lambda part: (_ for _ in ()).throw(AttributeError("no such thing")))


@HBM_MODELS.register("bad_memory")
class BadMemory:
    """Raises."""

    latency_ps = 1

    def __init__(self, spec):
        self.size = spec.capacity_bytes

    def serve(self, transaction, head_ps, tail_ps, size_bytes):
        """Never."""
        raise KeyError(transaction.piece.pa)
