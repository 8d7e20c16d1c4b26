"""How often Python looks for reference cycles: seldom, while a run makes objects by the million and few cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 100_000  # Python's own 700 costs a run a tenth of its time, and the making of `big` two thirds


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Look for cycles after every ``NEW_OBJECTS`` new objects in the ``with`` (or, as a decorator, in the function)."""
    before = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
