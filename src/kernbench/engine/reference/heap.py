"""The priority queue of the calendar: entries that begin with three whole numbers, the least of them first."""

from heapq import heappop, heappush

__all__ = ["heappop", "heappush"]
