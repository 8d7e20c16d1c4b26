"""What a launcher tells a process in its environment: its rank, how many there are, and where they meet.

Here ranks are workers of one program. Each sees variables of its own while it runs; the host has none, unless somebody
started the program as one rank of several.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlparse

from kernbench.dist.errors import BackendError
from kernbench.errors import InvalidValueError
from kernbench.messages.source_line import SourceLine

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
SPAWN = "ranks are started by torch.multiprocessing.spawn here, one program for all"
Environment = Mapping[str, str | None]


def of_worker(rank: int, n_ranks: int) -> Environment:
    """The variables of the worker ``rank`` of ``n_ranks``, as torchrun sets them on one machine."""
    me, n = str(rank), str(n_ranks)
    return dict(zip(VARIABLES, (me, me, n, n, "localhost", "29500"), strict=True))


def seen() -> Environment:
    """The variables as they are; None where one is not set."""
    return {name: os.environ.get(name) for name in VARIABLES}


def enter(environment: Environment) -> None:
    """Make ``environment`` what is seen."""
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        elif os.environ.get(name) != value:
            os.environ[name] = value


def rendezvous(init_method: str | None, rank: int, world_size: int) -> tuple[int, int]:
    """A worker's rank and the number of ranks: as given, or as ``init_method`` says; without one, the environment."""
    url = "env://" if init_method is None else init_method
    scheme, said = _parsed(url)
    found = []
    for name, title, given in (("rank", "rank", rank), ("world_size", "world size", world_size)):
        if given >= 0:
            found.append(given)
        elif name in said:
            found.append(_number(said[name]))
        elif scheme == "env":
            found.append(_number(_from_environment(name.upper())))
        else:
            raise _error(scheme, f"{title} parameter missing")
    return found[0], found[1]


def world_size_on_host(init_method: str | None, rank: int, world_size: int, line: SourceLine) -> int:
    """The ranks for which the host speaks from ``line`` on, -1 if nothing says how many.

    Raises:
        InvalidValueError: the host is to be one rank of several.
    """
    if init_method is not None:
        _parsed(init_method)
    if rank > 0:
        raise InvalidValueError(
            f"init_process_group at {line}: rank={rank} on the host, which speaks for all ranks at once; {SPAWN}"
        )
    launched = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE") if os.environ.get(name)}
    if world_size >= 0 or not launched:
        return world_size
    if launched == {"RANK": "0", "WORLD_SIZE": "1"}:
        return 1
    listed = " and ".join(f"{name}={value}" for name, value in launched.items())
    raise InvalidValueError(
        f"init_process_group at {line}: {listed} in the environment, as of one process of several; {SPAWN}: call it in "
        "a worker, or unset them to speak for all ranks at once"
    )


def _parsed(url: object) -> tuple[str, dict[str, str]]:
    """The scheme of an ``init_method``, and what is said behind its question mark."""
    if not isinstance(url, str):
        raise BackendError(f"`url` must be a string. {type(url)}: {url}")
    result = urlparse(url)
    if result.scheme not in ("env", "tcp", "file"):
        raise BackendError(f"No rendezvous handler for {result.scheme}://; give 'env://', or leave it out")
    return result.scheme, dict(parse_qsl(result.query))


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise _error("env", f"environment variable {name} expected, but not set")
    return value


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InvalidValueError(f"{error}: RANK and WORLD_SIZE are whole numbers") from None


def _error(scheme: str, what: str) -> InvalidValueError:
    return InvalidValueError(f"Error initializing torch.distributed using {scheme}:// rendezvous: {what}")
