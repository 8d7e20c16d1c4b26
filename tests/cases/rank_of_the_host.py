"""A rank is given where there is none: the program itself, outside of all workers."""

import kernbench as kb

torch = kb.simulate("tiny").torch
torch.distributed.init_process_group("ahbm", rank=3, world_size=4)

# $ python rank_of_the_host.py
#! kernbench.errors.InvalidValueError: init_process_group at rank_of_the_host.py:6: rank=3 on the host, which speaks for all ranks at once; ranks are started by torch.multiprocessing.spawn here, one program for all
# = 1
