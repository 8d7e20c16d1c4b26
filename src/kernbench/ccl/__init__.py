"""Collectives: queues between PEs, and kernels that use them."""

from kernbench.ccl.wiring import QueuePair, install_queues, wire

__all__ = ["QueuePair", "install_queues", "wire"]
