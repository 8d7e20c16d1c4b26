"""Command to plan: which tiles a command is cut into, and through which units each tile goes.

A tile's operands fit half of the operand registers, so that the next tile is fetched while this one is computed. Every
tile that computes is fetched first, if only to set its operands up: what is known to the kernel, or in the
accumulators already, moves no bytes.
"""
