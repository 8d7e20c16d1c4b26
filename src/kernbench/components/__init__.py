"""Hardware: what spends time. Every file registers its component under a versioned name, and describes its kind."""

from __future__ import annotations

from collections.abc import Mapping


def load_components() -> Mapping[str, str]:
    """Import every component of the package; gives a line for each file that cannot be, by the file's name."""
    from kernbench.components.base import COMPONENTS

    for folder in ("fabric", "pe"):
        COMPONENTS.load(f"{__name__}.{folder}")
    return COMPONENTS.mistakes
