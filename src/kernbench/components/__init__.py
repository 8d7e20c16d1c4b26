"""Hardware: what spends time. Every file registers its component under a versioned name."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache


@cache
def load_components() -> None:
    """Import every component of the package, so that it is registered."""
    for module in pkgutil.walk_packages(__path__, "kernbench.components."):
        importlib.import_module(module.name)
