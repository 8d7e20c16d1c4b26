"""A lambda and a tensor on the device are no objects for another process; each says so in one line."""

import kernbench as kb


def worker(rank, n, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm")
    for name, thing in (("lambda", lambda: 1), ("tensor", {"x": torch.zeros(2, name="x")})):
        try:
            dist.broadcast_object_list([thing], src=rank)
        except Exception as error:
            if rank == 0:
                print(name, "->", error)


torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(2, torch), nprocs=2)

# $ python object_that_cannot_travel.py
# lambda -> AttributeError: Can't ...'worker.<locals>.<lambda>'; an object goes to another rank pickled, as to another process
# tensor -> 'x' is a tensor on the device; an object holds tensors on the host: give x.cpu(), or gather the tensor itself, as with all_gather
