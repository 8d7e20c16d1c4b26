"""Several simulations side by side, as ``asyncio.gather`` and ``asyncio.to_thread`` run them."""

import asyncio

import kernbench as kb
from kernbench import tl


@kb.jit
def scale(x_ptr, factor, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(x_ptr + at, factor * tl.load(x_ptr + at))


async def scaled(factor):
    torch = kb.simulate("tiny").torch
    x = torch.arange(4, dtype=torch.float32)
    await asyncio.sleep(0)
    scale[(1,)](x, factor, N=4)
    await asyncio.sleep(0)
    return await asyncio.to_thread(x.tolist)


async def main():
    for row in await asyncio.gather(*(scaled(factor) for factor in (1, 2, 3))):
        print(row)


asyncio.run(main())

# $ python gather_of_simulations.py
# [0.0, 1.0, 2.0, 3.0]
# [0.0, 2.0, 4.0, 6.0]
# [0.0, 3.0, 6.0, 9.0]
