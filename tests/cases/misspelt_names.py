"""Names that PyTorch has and this has not, and misspelt ones: no suggestion ends or moves anything."""

import kernbench as kb

torch = kb.simulate("tiny").torch
x = torch.zeros(2)
for text in (
    "torch.alclose",
    "torch.clos",
    "torch.nn",
    "torch.cuda",
    "x.backward",
    "x.relu_",
    "torch.distributed.new_grup",
):
    try:
        eval(text)
        print(text, "is there")
    except AttributeError as error:
        print(text, "->", str(error).split(" (known")[0])

# $ python misspelt_names.py
# torch.alclose -> torch has no attribute 'alclose' here; did you mean 'allclose'?
# torch.clos -> torch has no attribute 'clos' here; did you mean 'cos'?
# torch.nn -> torch has no attribute 'nn' here;
# torch.cuda -> torch has no attribute 'cuda' here;
# x.backward -> a tensor has no 'backward' here;
# x.relu_ is there
# torch.distributed.new_grup -> torch.distributed has no 'new_grup' here; did you mean 'new_group'?
