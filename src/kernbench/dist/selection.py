"""Which algorithm does a collective, as the tables of ``ccl.yaml`` say: by number of ranks, then by size."""

from __future__ import annotations

import importlib

from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms, require_served
from kernbench.config.ccl import MAX, CclSpec, CclTableSpec, size_ranges
from kernbench.config.explain import line
from kernbench.errors import ConfigError, UnknownNameError
from kernbench.theory.group import COLLECTIVES, Collective, Group


def select(ccl: CclSpec, collective: Collective, group: Group, size_bytes: int) -> str:
    """The algorithm that ``ccl`` selects for ``size_bytes`` of a rank's smaller buffer, if it can serve ``group``.

    The table is that of the group's number of ranks. Where its algorithm cannot serve the group, that of ``otherwise``
    does.

    Raises:
        ConfigError: there is no algorithm of that name for the collective; says where it was written.
        UsageError: none that is selected can serve the group; says which can.
    """
    table = table_of(ccl, collective, group.n_ranks)
    names = [_in(text, size_bytes) for text in table.texts]
    for name in names:
        require_known(ccl, collective, name)
        if ALGORITHMS[name].refuses(group) is None:
            return name
    require_served(names[0], group)
    return names[0]


def selected(ccl: CclSpec, collective: Collective, group: Group) -> list[str]:
    """All that :func:`select` gives for ``group``, by size, each once."""
    table = table_of(ccl, collective, group.n_ranks)
    firsts = sorted({found.first_bytes for text in table.texts for found in size_ranges(text)})
    return list(dict.fromkeys(select(ccl, collective, group, first) for first in firsts))


def table_of(ccl: CclSpec, collective: Collective, n_ranks: int) -> CclTableSpec:
    """The table of a group of ``n_ranks``: the first of those for so many."""
    tables: tuple[CclTableSpec, ...] = getattr(ccl.selection, collective)
    return next(table for table in tables if table.ranks == MAX or n_ranks <= table.ranks)


def _in(text: str, size_bytes: int) -> str:
    """The algorithm of a selection for ``size_bytes``."""
    ranges = size_ranges(text)
    return next(x.algorithm for x in ranges if x.last_bytes is None or size_bytes <= x.last_bytes)


def require_all_known(ccl: CclSpec) -> None:
    """See to it that all that ``ccl`` may ever select is there; ConfigError if not."""
    for collective in COLLECTIVES:
        for table in getattr(ccl.selection, collective, ()):
            for name in {found.algorithm: None for text in table.texts for found in size_ranges(text)}:
                require_known(ccl, collective, name)


def require_known(ccl: CclSpec, collective: Collective, name: str) -> None:
    """See to it that the algorithm ``name`` is there and does ``collective``; its module may be one of the user's.

    Raises:
        ConfigError: it is not; says where it was written.
    """
    load_algorithms()
    settings = ccl.algorithms.get(name)
    if settings is not None and name not in ALGORITHMS:
        importlib.import_module(settings.module)
    path = ("selection", collective)
    place = ccl.place_of(".".join(path)) or "ccl.yaml"
    try:
        algorithm = ALGORITHMS[name]
    except UnknownNameError as error:
        raise ConfigError(line(place, path, str(error))) from None
    if algorithm.collective != collective:
        known = [other for other in ALGORITHMS if ALGORITHMS[other].collective == collective]
        raise ConfigError(
            line(
                place,
                path,
                f"{name} is for {algorithm.collective}; for {collective} there are {', '.join(known)}",
            )
        )
