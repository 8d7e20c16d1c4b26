"""Values that the dtype cannot hold; PyTorch 2.13 refuses each: "value cannot be converted ... without overflow"."""

import kernbench as kb

torch = kb.simulate("tiny").torch
for text in ("torch.tensor([300], dtype=torch.int8)", "torch.full((2,), float('nan'), dtype=torch.int32)"):
    try:
        print(text, "->", eval(text).tolist())
    except Exception as error:
        print(text, "->", type(error).__name__, error)

# $ python constructors_that_wrap.py
# torch.tensor([300], dtype=torch.int8) -> RefusedError value cannot be converted to type int8 without overflow: 300 is not one of -128 to 127; give a wider dtype, or convert a tensor with .to(), which wraps
# torch.full((2,), float('nan'), dtype=torch.int32) -> RefusedError value cannot be converted to type int without overflow: nan is not one of -2147483648 to 2147483647; give a wider dtype, or convert a tensor with .to(), which wraps
