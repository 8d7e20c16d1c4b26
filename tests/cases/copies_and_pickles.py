"""What can be copied and pickled (a report, a kernel, a tensor on the host), and what says in one line that it cannot."""

import copy
import pickle

import kernbench as kb
from kernbench import tl


@kb.jit
def fill(x_ptr):
    tl.store(x_ptr, 1.0)


simulation = kb.simulate("tiny")
x = simulation.torch.zeros(2, name="x")
fill[(1,)](x)
report = simulation.report()
print("report", pickle.loads(pickle.dumps(report)) == report == copy.deepcopy(report))
print("kernel", pickle.loads(pickle.dumps(fill)) is fill is copy.deepcopy(fill))
host = x.cpu()
print("host tensor", copy.deepcopy(host).tolist())
for what in (simulation, simulation.torch, x, host):
    try:
        pickle.dumps(what)
    except kb.errors.UsageError as error:
        print(error)

# $ python copies_and_pickles.py
# report True
# kernel True
# host tensor [1.0, 0.0]
# a simulation is a machine at work, and can be neither pickled nor copied; make another, as in kb.simulate('tiny'), and take tensors along as arrays, with x.numpy()
# a simulation is a machine at work, and can be neither pickled nor copied; make another, as in kb.simulate('tiny'), and take tensors along as arrays, with x.numpy()
# 'x'[2] belongs to a simulation, and can be neither pickled nor copied by Python; take x.numpy(), of which torch.from_numpy() makes a tensor again, or copy it with x.to('ahbm', copy=True)
# 'x'[2] belongs to a simulation, and can be neither pickled nor copied by Python; take x.numpy(), of which torch.from_numpy() makes a tensor again, or copy it with x.to('ahbm', copy=True)
