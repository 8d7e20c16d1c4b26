"""Started as a launcher starts the third of four processes: RANK=2 WORLD_SIZE=4."""

import os

import kernbench as kb

os.environ.update(RANK="2", LOCAL_RANK="2", WORLD_SIZE="4", MASTER_ADDR="localhost", MASTER_PORT="29500")
dist = kb.simulate("tiny").torch.distributed
dist.init_process_group("ahbm", init_method="env://")
print("rank", dist.get_rank(), "of", dist.get_world_size())

# $ python environment_rank.py
#! kernbench.errors.InvalidValueError: init_process_group at environment_rank.py:9: RANK=2 and WORLD_SIZE=4 in the environment, as of one process of several; ranks are started by torch.multiprocessing.spawn here, one program for all: call it in a worker, or unset them to speak for all ranks at once
# = 1
