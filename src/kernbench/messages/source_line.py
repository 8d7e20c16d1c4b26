"""Lines of a user's program: where a command was issued, or a tensor made."""

from __future__ import annotations

from typing import NamedTuple


class SourceLine(NamedTuple):
    """Where in a kernel a command was issued; in what kernels share, the kernel's own line and the function there."""

    file: str
    line: int
    inside: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f" in {self.inside}" if self.inside else "")
