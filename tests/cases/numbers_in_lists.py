"""Numbers that are in no dtype, or not in this one: also deep in lists, of numpy, and beyond 64 bits."""

import numpy as np  # noqa: F401  # in a text below

import kernbench as kb

torch = kb.simulate("tiny").torch
for text in (
    "torch.tensor([[1, 2], [3, -129]], dtype=torch.int8)",
    "torch.tensor([1, 2.5, float('inf')], dtype=torch.int32)",
    "torch.tensor([np.int64(70000)], dtype=torch.uint16)",
    "torch.tensor([2**63])",
    "torch.full((2,), -1, dtype=torch.uint8)",
    "torch.full((2,), 1e6, dtype=torch.float16)",
    "torch.tensor(np.array([300, -300]), dtype=torch.int8)",
    "torch.arange(126, 130, dtype=torch.int8)",
    "torch.randint(0, 1000, (2,), dtype=torch.int8)",
    "torch.from_numpy([1, 2])",
    "torch.from_numpy(np.ma.masked_array([1.0, 2.0], [0, 1]))",
    "torch.zeros(10**13, device='cpu')",
):
    try:
        print(text, "->", eval(text).tolist())
    except Exception as error:
        print(text, "->", error)

# $ python numbers_in_lists.py
# torch.tensor([[1, 2], [3, -129]], dtype=torch.int8) -> value cannot be converted to type int8 without overflow: -129 is not one of -128 to 127; give a wider dtype, or convert a tensor with .to(), which wraps
# torch.tensor([1, 2.5, float('inf')], dtype=torch.int32) -> value cannot be converted to type int32 without overflow: inf is not one of -2147483648 to 2147483647; give a wider dtype, or convert a tensor with .to(), which wraps
# torch.tensor([np.int64(70000)], dtype=torch.uint16) -> value cannot be converted to type uint16 without overflow: 70000 is not one of 0 to 65535; give a wider dtype, or convert a tensor with .to(), which wraps
# torch.tensor([2**63]) -> Overflow when unpacking long long: 9223372036854775808 in a tensor of torch.int64; give floats
# torch.full((2,), -1, dtype=torch.uint8) -> [255, 255]
# torch.full((2,), 1e6, dtype=torch.float16) -> value cannot be converted to type c10::Half without overflow: 1000000.0 is beyond its largest, 65504; give float('inf') or a wider dtype
# torch.tensor(np.array([300, -300]), dtype=torch.int8) -> [44, -44]
# torch.arange(126, 130, dtype=torch.int8) -> [126, 127, -128, -127]
# torch.randint(0, 1000, (2,), dtype=torch.int8) -> to - 1 is out of bounds for signed char: 999 is not one of -128 to 127; give a wider dtype
# torch.from_numpy([1, 2]) -> expected np.ndarray (got list): torch.from_numpy takes an array; make one with np.array(), or use torch.tensor()
# torch.from_numpy(np.ma.masked_array([1.0, 2.0], [0, 1])) -> torch.from_numpy: the array has a mask, which a tensor does not keep; fill it, as in array.filled(0)
# torch.zeros(10**13, device='cpu') -> a tensor [10000000000000] of fp32 takes 3.725e+04 GiB on the host; make it smaller
