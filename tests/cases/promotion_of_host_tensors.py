"""Two dtypes meet as in PyTorch: also a number, a tensor without dimensions, and what must not be written back."""

import kernbench as kb

torch = kb.simulate("tiny").torch
cpu = {"device": "cpu"}
i8, u8 = torch.tensor([100, -100], dtype=torch.int8, **cpu), torch.tensor([200, 3], dtype=torch.uint8, **cpu)
half, brain = torch.tensor([1.5, 2], dtype=torch.float16, **cpu), torch.ones(2, dtype=torch.bfloat16, **cpu)
for text in (
    "i8 + i8",
    "i8 + u8",
    "i8 * 1.5",
    "i8 / 8",
    "half + brain",
    "half + torch.tensor(1.0, dtype=torch.float64, **cpu)",
    "(i8 > 0) + (u8 > 0)",
    "i8.sum()",
    "i8.add_(0.5)",
    "i8 - (u8 > 0)",
    "torch.cat([i8, half])",
):
    try:
        result = eval(text)
        print(text, "->", result.dtype, result.tolist())
    except Exception as error:
        print(text, "->", error)

# $ python promotion_of_host_tensors.py
# i8 + i8 -> int8 [-56, 56]
# i8 + u8 -> int16 [300, -97]
# i8 * 1.5 -> fp32 [150.0, -150.0]
# i8 / 8 -> fp32 [12.5, -12.5]
# half + brain -> fp32 [2.5, 3.0]
# half + torch.tensor(1.0, dtype=torch.float64, **cpu) -> fp16 [2.5, 3.0]
# (i8 > 0) + (u8 > 0) -> int1 [True, True]
# i8.sum() -> int64 0
# i8.add_(0.5) -> result type Float can't be cast to the desired output type Char; make a new tensor, with add()
# i8 - (u8 > 0) -> Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.
# torch.cat([i8, half]) -> fp16 [100.0, -100.0, 1.5, 2.0]
