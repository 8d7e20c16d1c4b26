"""A function of a user that KernBench asks: what it gives is wanted, or one line says whose it is and what it gave."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from kernbench.errors import KernBenchError, UsageError, in_one_line, is_of_a_program
from kernbench.lang.source import defined_at, users_line_of
from kernbench.wording import quoted


@dataclass(frozen=True, slots=True)
class Callback:
    """The ``function`` of a user that gives ``wanted``; ``read`` takes what it gave, or raises TypeError or ValueError.

    ``owner`` is what it belongs to, in the words of an error.
    """

    name: str
    function: Callable[..., Any]
    wanted: str
    read: Callable[[Any], Any]
    owner: Callable[[], str]

    def __call__(self, *given: Any) -> Any:
        """Call the function, and read what it gives.

        Raises:
            UsageError: it gives something else, or raises an error.
        """
        try:
            found = self.function(*given)
        except BaseException as error:
            if isinstance(error, KernBenchError) or not is_of_a_program(error):
                raise
            line = users_line_of(error.__traceback__)
            place = self.place if line is None else f"{line}: "
            raise UsageError(f"{place}{self._called(given)} raises {in_one_line(error)}") from error
        try:
            return self.read(found)
        except Exception:  # whatever an object raises that is looked at
            raise UsageError(
                f"{self.place}{self._called(given)} gives {quoted(found)}; it must give {self.wanted}"
            ) from None

    @property
    def place(self) -> str:
        """Where it is defined, at the beginning of a message; nothing of what Python's own code does."""
        function = self.function
        while isinstance(function, partial):
            function = function.func
        line = defined_at(function if inspect.isroutine(function) else type(function).__call__)
        return f"{line}: " if line.line else ""

    def _called(self, given: tuple[Any, ...]) -> str:
        shown = (quoted(value) if isinstance(value, int) else type(value).__name__.lower() for value in given)
        return f"{self.owner()}: {self.name}({', '.join(shown)})"
