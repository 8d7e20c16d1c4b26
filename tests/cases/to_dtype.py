"""The commonest call there is: convert a tensor."""

import kernbench as kb

torch = kb.simulate("tiny").torch
x = torch.zeros(4)
for text in (
    "x.to(torch.float16)",
    "x.to(dtype=torch.float16)",
    "x.to('cpu')",
    "torch.zeros(4, device='cpu')",
):
    try:
        print(text, "->", eval(text))
    except Exception as error:
        print(text, "->", type(error).__name__, error)

# $ python to_dtype.py
# x.to(torch.float16) -> RefusedError x.to(torch.float16): 'tensor1'[4] is on the device, and the host computes nothing there; convert a copy on the host, as in x.cpu().to(torch.float16).to('ahbm'), or in a kernel
# x.to(dtype=torch.float16) -> RefusedError x.to(torch.float16): 'tensor1'[4] is on the device, and the host computes nothing there; convert a copy on the host, as in x.cpu().to(torch.float16).to('ahbm'), or in a kernel
# x.to('cpu') -> Tensor('tensor1', [4], fp32, cpu, [0., 0., 0., 0.])
# torch.zeros(4, device='cpu') -> Tensor('tensor2', [4], fp32, cpu, [0., 0., 0., 0.])
