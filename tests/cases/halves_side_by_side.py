"""Two launches on halves of one tensor and on streams of their own run side by side: less than twice one's time."""

import kernbench as kb
from kernbench import tl


@kb.jit
def double(x_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    for _ in range(8):
        tl.store(x_ptr + at, 2 * tl.load(x_ptr + at))


simulation = kb.simulate("tiny", races="error")
torch = simulation.torch
x = torch.ones(2048)
torch.synchronize()
for pe, stream in ((0, "a"), (2, "b")):
    torch.launch(double, (1,), (x.narrow(0, pe * 512, 1024),), {"N": 1024}, place=[pe], stream=stream)
first, second = simulation.report().launches
print("overlap:", second.start_ps < first.end_ps, "right:", (x.numpy() == 256).all())

# $ python halves_side_by_side.py
# overlap: True right: True
