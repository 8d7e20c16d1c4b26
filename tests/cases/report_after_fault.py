"""A good launch, then one that faults: what does the report say afterwards?"""

import kernbench as kb
from kernbench import tl


@kb.jit
def load_at(x_ptr, offset):
    tl.load(x_ptr + offset)


simulation = kb.simulate("tiny")
torch = simulation.torch
x = torch.zeros(4)
for offset in (0, 1000):
    try:
        torch.launch(load_at, (1,), (x, offset))
        torch.synchronize()
    except Exception as error:
        print(type(error).__name__)
    try:
        print("kernel time", simulation.report().kernel_time_ps, "ps")
    except Exception as error:
        print(type(error).__name__, error)

# $ python report_after_fault.py
# kernel time 232752 ps
# PageFaultError
# UsageError this simulation stopped at 3.265 us in kernel 'load_at' (PageFaultError: report_after_fault.py:9: ...
