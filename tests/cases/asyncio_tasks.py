"""A simulation made in one task, a kernel launched in the next, as notebooks with ``await`` do cell by cell."""

import asyncio

import kernbench as kb
from kernbench import tl


@kb.jit
def double(x_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(x_ptr + at, 2 * tl.load(x_ptr + at))


async def first_cell():
    return kb.simulate("tiny").torch


async def second_cell(torch):
    x = torch.arange(4, dtype=torch.float32)
    double[(1,)](x, N=4)
    print(x.numpy())


async def main():
    torch = await asyncio.create_task(first_cell())
    await asyncio.create_task(second_cell(torch))


asyncio.run(main())

# $ python asyncio_tasks.py
# [0. 2. 4. 6.]
