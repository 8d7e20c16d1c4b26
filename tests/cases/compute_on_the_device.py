"""Arithmetic, conversions and assignments on tensors of the device: each says what to write instead."""

import copy  # noqa: F401  # in a text below

import kernbench as kb

torch = kb.simulate("tiny").torch
x, y = torch.ones(4, name="x"), torch.ones(4, name="y")
for text in (
    "x + y",
    "x == y",
    "-x",
    "x.float()",
    "x.to(torch.float16)",
    "x.sum()",
    "torch.allclose(x, y)",
    "torch.cat([x, y])",
    "x.T",
    "x.clone()",
    "x.fill_(2)",
    "x.__setitem__(0, 1)",
    "copy.deepcopy(x)",
):
    try:
        print(text, "->", eval(text))
    except Exception as error:
        print(text, "->", error)
print(float(x[0]), x[1:3].tolist(), (x.cpu() + y.cpu()).tolist(), torch.equal(x.cpu(), y.cpu()))

# $ python compute_on_the_device.py
# x + y -> x + y: 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# x == y -> x == y: 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# -x -> -x: 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# x.float() -> x.float(): 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# x.to(torch.float16) -> x.to(torch.float16): 'x'[4] is on the device, and the host computes nothing there; convert a copy on the host, as in x.cpu().to(torch.float16).to('ahbm'), or in a kernel
# x.sum() -> x.sum(): 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# torch.allclose(x, y) -> torch.allclose: 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# torch.cat([x, y]) -> torch.cat: 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# x.T -> x.T: 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# x.clone() -> x.clone(): 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# x.fill_(2) -> x.fill_(): 'x'[4] is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute it in a kernel
# x.__setitem__(0, 1) -> x[...] = y: 'x'[4] is on the device, and the host computes nothing there; write with copy_, as in x.narrow(0, i, 1).copy_(y), or in a kernel
# copy.deepcopy(x) -> deepcopy(x): 'x'[4] is on the device, and the host computes nothing there; copy it with x.to('ahbm', copy=True)
# 1.0 [1.0, 1.0] [2.0, 2.0, 2.0, 2.0] True
