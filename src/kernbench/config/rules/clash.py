"""Keys that contradict each other, told where their author can mend it: at a key of the user's own, not of a preset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from kernbench.config.tree import Path, Tree, split_path

_OTHER = re.compile(r"<([^<>]+)>")


class Clash(NamedTuple):
    """What to say at each of the keys that do not go together, the likeliest culprit first.

    A text names another of the keys as ``<key>``, and says what to write where it stands.
    """

    texts: Mapping[str, str]

    def told(self, tree: Tree) -> tuple[str, Path, str]:
        """``(place, path, message)`` at the key that was set last: by an override, else in a file, else in a preset.

        Where the keys it names were written stands behind them.
        """
        places = {key: tree.nearest(split_path(key)).place for key in self.texts}
        chosen = max(places, key=lambda key: _layer(places[key]))  # of equal ones the first

        def named(found: re.Match[str]) -> str:
            key = found[1]
            place = tree.nearest(split_path(key)).place
            return key if place == places[chosen] else f"{key} ({place})"

        return places[chosen], split_path(chosen), _OTHER.sub(named, self.texts[chosen])


def alone(key: str, text: str) -> Clash:
    """A key that is wrong by itself."""
    return Clash({key: text})


def _layer(place: str) -> int:
    if place.startswith("presets/"):
        return 0
    return 2 if place.startswith(("--set ", "overrides[")) else 1
