"""Time: the public names of the engine. Nothing outside may depend on how they work inside."""

from kernbench.engine.queue import Credits, Queue
from kernbench.engine.server import Server
from kernbench.engine.sim import Engine, Process, ProcessBody, Signal

__all__ = ["Credits", "Engine", "Process", "ProcessBody", "Queue", "Server", "Signal"]
