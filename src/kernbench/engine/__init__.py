"""Time: the one place where it is chosen which engine runs.

What all of KernBench is written against is :mod:`kernbench.engine.api`; nothing outside depends on how it works inside.
"""

from kernbench.engine.api import ProcessBody, Timed
from kernbench.engine.reference.calendar import Signal
from kernbench.engine.reference.channel import Chunk, Fabric
from kernbench.engine.reference.engine import Engine
from kernbench.engine.reference.log import OpLog
from kernbench.engine.reference.memory import SteadyMemory
from kernbench.engine.reference.queue import Credits, Queue
from kernbench.engine.reference.server import Server

__all__ = [
    "Chunk",
    "Credits",
    "Engine",
    "Fabric",
    "OpLog",
    "ProcessBody",
    "Queue",
    "Server",
    "Signal",
    "SteadyMemory",
    "Timed",
]
