"""A kernel's result is compared on the host with what PyTorch's names compute there."""

import kernbench as kb
from kernbench import tl


@kb.jit
def gelu(x_ptr, y_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(x_ptr + at).to(tl.float32)
    tl.store(y_ptr + at, x * tl.sigmoid(1.702 * x))


torch = kb.simulate("tiny").torch
x = torch.randn(256, dtype=torch.float16)
y = torch.empty_like(x)
gelu[(1,)](x, y, N=256)
h = x.cpu().float()
reference = (h * torch.sigmoid(1.702 * h)).half()
print(torch.allclose(y.cpu(), reference, rtol=1e-3), (y.cpu() - reference).abs().max().item() < 1e-3)
stacked = torch.stack([y.cpu(), reference])
print(stacked.shape, torch.cat([stacked, stacked], dim=1).mean(dim=1).dtype, (h > 0).sum() + (h <= 0).sum())

# $ python host_reference.py
# True True
# (2, 256) fp16 Tensor('tensor1', [], int64, cpu, 256)
