"""Expressions on host tensors that PyTorch and KernBench must answer alike: values, dtypes, shapes, kinds of errors.

``x``, ``i`` and so on are made by :func:`names`, alike for both; ``torch`` makes tensors on the host. Words of an error
must begin as PyTorch's, but in ``OUR_WORDS``, where PyTorch's are its parser's or speak of the C++ below.
"""

import math

import numpy as np

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "float8_e4m3fn",
    "float8_e5m2",
]
NUMBERS = (0, 1, -1, 2, 300, -300, 1.5, -0.5, 1e5, 1e30, 1e39, math.inf, -math.inf, math.nan, True)
BIG_NUMBERS = (2**31, 2**32, 2**40, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1)


def names(torch):
    """What expressions may name."""
    return {
        "torch": torch,
        "np": np,
        "inf": math.inf,
        "nan": math.nan,
        "b": torch.tensor([True, False]),
        "i8": torch.ones(2, dtype=torch.int8),
        "u8": torch.tensor([1, 255], dtype=torch.uint8),
        "i": torch.tensor([7, -7]),
        "f16": torch.tensor([1.0, 0.1], dtype=torch.float16),
        "bf16": torch.tensor([1.0, 0.1], dtype=torch.bfloat16),
        "f": torch.tensor([1.0, -2.0, math.nan]),
        "d": torch.tensor([1.0, -2.5], dtype=torch.float64),
        "m": torch.tensor([[1.0, 3.0, 2.0], [2.0, 0.0, -4.0]]),
        "z": torch.tensor(300),
        "zf": torch.tensor(1.5),
        "zd": torch.tensor(1.5, dtype=torch.float64),
    }


UNARY = [
    "abs",
    "sign",
    "square",
    "floor",
    "ceil",
    "trunc",
    "round",
    "relu",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sigmoid",
    "neg",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "bitwise_not",
    "clone",
    "float",
    "half",
    "double",
    "bfloat16",
    "int",
    "long",
    "short",
    "char",
    "byte",
    "bool",
    "sum",
    "prod",
    "mean",
    "max",
    "min",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "any",
    "all",
    "var",
    "std",
    "t",
    "contiguous",
    "tolist",
    "numel",
    "is_contiguous",
    "is_floating_point",
]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>", "==", "!=", "<", "<=", ">", ">="]
TENSORS = ["b", "i8", "u8", "i", "f16", "bf16", "d", "z", "zf", "zd"]


def unary():
    return [f"{x}.{name}()" for name in UNARY for x in ("b", "u8", "i", "f16", "bf16", "f", "d", "m", "z")]


def binary():
    pairs = [(x, y) for x in TENSORS for y in (*TENSORS, "2", "1.5", "True")]
    pairs += [(x, y) for x in ("2", "1.5", "True") for y in ("b", "i", "f16", "zf")]
    return [f"{x} {operator} {y}" for operator in OPERATORS for x, y in pairs]


def made():
    """Numbers that a dtype holds or does not, in every way to make a tensor of them."""
    found = []
    for dtype in DTYPES:
        for number in (*NUMBERS, *BIG_NUMBERS):
            if dtype != "uint64" or isinstance(number, int):  # PyTorch takes no floats for it
                found.append(f"torch.tensor([{number!r}], dtype=torch.{dtype})")
            found.append(f"torch.full((2,), {number!r}, dtype=torch.{dtype})")
        for number in NUMBERS:
            found.append(f"torch.zeros(2, dtype=torch.{dtype}).fill_({number!r})")
            found.append(f"torch.tensor([{number!r}], dtype=torch.float64).to(torch.{dtype})")
        found += [
            f"torch.tensor([{n}]).to(torch.{dtype})" for n in (0, 1, -1, 127, 128, 255, 300, -300, 2**40)
        ]
    return found


OTHERS = """
torch.tensor([1, 2.5])
torch.tensor([True, 2])
torch.tensor([])
torch.tensor([[], []])
torch.tensor(5)
torch.tensor(range(3))
torch.tensor([np.int32(1)])
torch.tensor([np.float64(1)])
torch.tensor([np.float16(1), 2.5])
torch.tensor(np.float64(1))
torch.tensor([np.array([1, 2], dtype=np.int8), np.array([1, 2], dtype=np.int8)])
torch.tensor(np.array([300, -1]), dtype=torch.int8)
torch.tensor(np.array([300.5, nan]), dtype=torch.int8)
torch.tensor(i, dtype=torch.float16)
torch.full((2,), 3)
torch.full((2,), 3.0)
torch.full((2,), True)
torch.full((0,), 300, dtype=torch.int8)
torch.full((2,), np.int64(3))
torch.full((2,), "a")
torch.arange(5)
torch.arange(300, dtype=torch.int8)
torch.arange(126, 130, dtype=torch.int8)
torch.arange(-1, 2, dtype=torch.uint8)
torch.arange(0, 1e6, 3e5, dtype=torch.float16)
torch.arange(0.5, 3, dtype=torch.int32)
torch.arange(0, 3, 0.5, dtype=torch.int32)
torch.arange(2**40, 2**40 + 2, dtype=torch.int32)
torch.arange(2**63 - 3, 2**63 - 1)
torch.arange(5, 1, -2)
torch.arange(-2.5, 0.1)
torch.arange(0.1, 1, 0.1)
torch.arange(300, dtype=torch.bfloat16)
torch.arange(True)
torch.arange(0)
torch.arange(1, 1)
torch.arange(nan)
torch.arange(inf)
torch.arange(0, 3, 0)
torch.arange(3, 0)
torch.arange(0, 3, -1)
torch.arange(2, dtype=torch.bool)
torch.linspace(0, 1, 5)
torch.linspace(0, 1, 0)
torch.eye(2)
torch.eye(2, 3)
torch.randint(0, 300, (3,), dtype=torch.int8)
torch.randint(-5, 5, (3,), dtype=torch.uint8)
torch.randint(0, 3, (3,), dtype=torch.bool)
torch.randint(0, 2**31 + 1, (1,), dtype=torch.int32)
torch.randint(0, 70000, (1,), dtype=torch.float16)
torch.randint(0, 70000, (1,), dtype=torch.int16)
torch.randint(0, 70000, (1,), dtype=torch.uint16)
torch.zeros_like(i)
torch.zeros_like(i, dtype=torch.float16)
torch.ones_like(m)
torch.full_like(i, 1.5)
torch.full_like(i8, 300)
torch.ones_like([1])
torch.empty_like(m, dtype=torch.int8).shape
torch.as_tensor([1, 2])
torch.as_tensor(i) is i
torch.from_numpy([1, 2])
i ** -1
torch.tensor([2, 3]) ** torch.tensor([1, -2])
i // torch.tensor([0, 1])
i % torch.tensor([0, 1])
i % -3
f % torch.tensor([2.0, -1.5, 1.0])
f16 * 100000
i8 + 300
i8 == 300
torch.tensor([44], dtype=torch.int8) == 300
torch.tensor([1.1], dtype=torch.float16) == 1.1
torch.ones(2, dtype=torch.int64) * 2**63
torch.tensor([3]) << torch.tensor([65])
torch.tensor([-1]) >> 70
i + torch.ones(3)
m + torch.ones(2, 1)
m + torch.ones(3)
i + np.array([1, 2])
i == np.array([7, 1])
i == None
i == "a"
i != None
i + [1, 2]
i + None
i + np.float32(1)
np.float32(1) + torch.ones(2)
torch.add(i, 2, alpha=3)
torch.sub(i, i, alpha=2)
torch.div(i, 2, rounding_mode="trunc")
torch.div(i, 2, rounding_mode="floor")
torch.div(i, 2, rounding_mode="x")
torch.pow(2, torch.tensor([1, 2]))
torch.maximum(f, torch.tensor([0.0, 0.0, 0.0]))
torch.minimum(f, torch.tensor([0.0, 0.0, 0.0]))
torch.maximum(i, i8)
torch.maximum(i, 2)
torch.max(torch.tensor([1, 3]), torch.tensor([2, 2]))
torch.clamp(f, 0, 1)
torch.clamp(i, min=0)
torch.clamp(i, 0.5, 3.5)
torch.clamp(i)
torch.clamp(i8, 0, 300)
torch.clamp(f, torch.tensor([0.0, 0.0, 0.0]))
torch.where(b, i, f16)
torch.where(b, 1, 0)
torch.where(b, i, 1.5)
torch.where(i, 1, 0)
torch.where(b, i8, 300)
i.masked_fill(b, 0)
i8.masked_fill(b, 300)
i.masked_fill(i, 0)
torch.round(torch.tensor([0.5, 1.5, 2.5]))
torch.round(torch.tensor([0.25]), decimals=1)
torch.logical_and(i, b)
torch.bitwise_and(i, 7)
m.max(dim=1)
m.max(1).indices
m.min(0, keepdim=True)
m.sum(dim=0, keepdim=True)
m.sum((0, 1))
m.sum(dim=())
m.sum(5)
m.mean(-1)
m.mean((0, 1))
m.mean(dtype=torch.float64)
i.mean(dtype=torch.float32)
i8.sum(dtype=torch.int8)
i.sum(dtype=torch.float32)
f16.sum(dtype=torch.float64)
m.argmax(0)
m.argmax(dim=1, keepdim=True)
m.argmin(keepdim=True)
torch.tensor([1.0, nan, 2.0]).argmax()
torch.tensor([1.0, nan, 2.0]).argmin()
m.amax((0, 1))
m.any(dim=1)
m.all(dim=0, keepdim=True)
m.std(unbiased=False)
m.var(1)
m.var(correction=0)
torch.std(torch.ones(1))
m.cumsum(1)
torch.cumsum(i8, 0)
m.softmax(-1)
torch.softmax(i, 0, dtype=torch.float32)
torch.tensor([]).max()
torch.tensor([]).sum()
torch.tensor([]).mean()
torch.tensor([]).argmax()
torch.zeros(0, 3).max(dim=0)
torch.zeros(0, 3).amax(dim=0)
torch.zeros(0, 3).sum(dim=0)
torch.allclose(torch.ones(2), torch.ones(2) + 1e-9)
torch.allclose(torch.ones(2), torch.ones(2, dtype=torch.float64))
torch.allclose(torch.ones(2), torch.ones(3))
torch.allclose(f, f)
torch.allclose(f, f, equal_nan=True)
torch.allclose(i, i)
torch.allclose(torch.tensor([inf]), torch.tensor([inf]))
torch.isclose(f, f)
torch.isclose(torch.tensor([1, 2]), torch.tensor([1, 3]))
torch.equal(i, i)
torch.equal(i, i.float())
torch.equal(i, f)
torch.equal(f, f)
torch.cat([i, i])
torch.cat([i, f16])
torch.cat([i, m])
torch.cat([])
torch.cat([torch.ones(2, 2), torch.ones(2, 3)], 1)
torch.cat([torch.ones(2, 2), torch.ones(2, 3)], 0)
torch.cat([torch.tensor([]), torch.ones(2, 2)])
torch.cat((torch.tensor(1), torch.tensor(2)))
torch.cat(m)
torch.cat([torch.ones(2), torch.zeros(2)], dim=-1)
torch.cat([torch.ones(2), torch.zeros(2)], dim=1)
torch.stack([i, i])
torch.stack([i, i], 1)
torch.stack([i, f16])
torch.stack([i, torch.ones(3)])
torch.stack([])
torch.stack([torch.tensor(1), torch.tensor(2)])
torch.stack([i], dim=5)
torch.chunk(torch.arange(6), 4)
torch.split(torch.arange(5), 2)
torch.split(torch.arange(6), [1, 5])
torch.split(torch.arange(6), [1, 4])
m.split(2, 1)
m.split(0)
m.chunk(0)
m.T
m.t()
m.mT
torch.ones(2, 3, 4).T.shape
torch.ones(2, 3, 4).mT.shape
torch.ones(2, 3, 4).t()
torch.ones(2, 3, 4).transpose(0, 2).shape
torch.ones(2, 3, 4).permute(2, 0, 1).shape
torch.permute(m, (1, 0))
m.permute(0, 0)
m.permute(0)
m.transpose(0, 5)
m.flip(0)
m.flip(0, 1)
torch.ones(2, 1).expand(2, 3)
torch.ones(2, 1).expand(-1, 3)
torch.ones(2, 1).expand(3, 3)
torch.tril(torch.ones(3, 3), -1)
torch.triu(torch.ones(2, 3), 1)
torch.tril(torch.ones(3))
m.t().is_contiguous()
m.t().contiguous().is_contiguous()
m @ m.t()
m @ torch.ones(3)
torch.ones(3) @ torch.ones(3)
torch.ones(3) @ torch.ones(3, 2)
torch.ones(3) @ torch.ones(4)
m @ m
m @ m.double()
(torch.ones(5, 2, 3) @ torch.ones(4, 1, 3, 2)).shape
torch.tensor([1, 2]) @ torch.tensor([3, 4])
(torch.ones(2, 2) * 0.1).half() @ (torch.ones(2, 2) * 0.1).half()
torch.tensor(1.0) @ torch.ones(4)
torch.mm(torch.ones(3), torch.ones(3))
torch.dot(torch.ones(2), torch.ones(3))
torch.dot(torch.ones(2, 2), torch.ones(2, 2))
torch.outer(torch.tensor([1, 2]), torch.tensor([1.0, 2.0]))
torch.outer(m, i)
float(torch.tensor([2]))
int(torch.tensor(2.7))
float(i)
bool(torch.tensor([0]))
len(torch.tensor(1))
list(torch.tensor(1))
list(torch.tensor([1, 2]))
format(torch.tensor(1.23456), ".2f")
format(i, ".2f")
f"{torch.tensor(3)}"
range(torch.tensor(2))
[1, 2, 3][torch.tensor(1)]
[1, 2, 3][torch.tensor(1.0)]
i[0]
i[0].item()
i[b]
i[torch.tensor([1, 0])]
i[[1, 0]]
i[None]
i[..., 0]
m[0, 1]
m[:, -1]
m[1:, ::2]
m[torch.tensor([0, 1]), torch.tensor([1, 1])]
m[torch.tensor([1.0])]
i.to(torch.float16)
i.to("cpu") is i
i.to(torch.int64) is i
i.to(torch.int64, copy=True) is i
i.to("cpu", torch.float16)
i.to(f16)
i.to(dtype=torch.float16)
i.cpu() is i
i.type(torch.float16)
str(i.device)
repr(i.device)
i.device.type
torch.device("cpu") == i.device
torch.promote_types(torch.int8, torch.float16) is torch.float16
torch.result_type(i8, 1.5) is torch.float32
torch.can_cast(torch.float32, torch.int8)
torch.can_cast(torch.int8, torch.float16)
torch.finfo(torch.float16).max
torch.finfo(torch.bfloat16).min
torch.finfo(torch.float32).eps
torch.finfo(torch.float64).tiny
torch.finfo(torch.int8)
torch.iinfo(torch.int8).max
torch.iinfo(torch.uint16).min
torch.iinfo(torch.float16)
torch.is_tensor(i)
torch.numel(m)
i.requires_grad
""".strip().splitlines()

STATEMENTS = """
x = torch.zeros(2); x[0] = 1.5
x = torch.zeros(2, dtype=torch.int8); x[0] = 1.5
x = torch.zeros(2, dtype=torch.int8); x[0] = 300
x = torch.zeros(2, dtype=torch.int8); x[0] = nan
x = torch.zeros(2, 3); x[:] = torch.tensor([1, 2, 3])
x = torch.zeros(2, 3); x[:, 1] = 7
x = torch.zeros(2); x[5] = 1
x = torch.zeros(2, 3); x[torch.tensor([True, False])] = 4
x = torch.zeros(2); x[0] = [1]
x = torch.zeros(2); x += i
x = i.clone(); x += 1.5
x = i8.clone(); x += 300
x = torch.zeros(2); x -= torch.ones(2, 2)
x = torch.zeros(2, dtype=torch.int64); x *= 2
x = torch.ones(2); x /= 4
x = torch.ones(2, dtype=torch.int64); x /= 4
x = b.clone(); x &= torch.tensor([False, True])
x = torch.arange(4.0); x[1:3].zero_()
x = torch.arange(4.0); x.view(2, 2)[0].add_(10)
x = torch.arange(4.0); x[0].fill_(9)
x = torch.tensor([1.0, 2.0]); x.clamp_(max=1.5)
x = torch.tensor([1.0, 4.0]); x.sqrt_()
x = torch.tensor([1, 4]); x.sqrt_()
x = torch.arange(3.0); x.T[0] = 5
x = torch.arange(6.0).view(2, 3); x.t()[0, 1] = 9
x = torch.zeros(2).masked_fill_(b, 3)
""".strip().splitlines()

# Where the texts of errors are ours: PyTorch's are those of its argument parser, of its C++ or of numpy-like indexing.
OUR_WORDS = frozenset(
    """
torch.full((2,), "a")
i + [1, 2]
i + None
torch.cat(m)
format(i, ".2f")
torch.ones(2, 3, 4).t()
x = torch.zeros(2); x[0] = [1]
x = torch.zeros(2); x[5] = 1
torch.finfo(torch.int8)
torch.iinfo(torch.float16)
torch.maximum(i, 2)
m[torch.tensor([1.0])]
""".strip().splitlines()
)
