"""An autotuner that changes one settings object from launch to launch, and a step count that is an array of numpy's."""

import dataclasses

import numpy as np

import kernbench as kb
from kernbench import tl


@dataclasses.dataclass
class Settings:
    block: int = 0


@kb.jit
def mark(out_ptr, step, settings: tl.constexpr):
    tl.store(out_ptr + step, settings.block)


for mode in ("timed", "data"):
    torch = kb.simulate("tiny", mode=mode).torch
    out, settings, step = torch.zeros(3), Settings(), np.array(0)
    for block in (16, 32, 64):
        settings.block = block
        mark[(1,)](out, step, settings)
        step += 1
    print(mode, out.tolist())

# $ python settings_of_the_next_launch.py
# timed [16.0, 32.0, 64.0]
# data [16.0, 32.0, 64.0]
