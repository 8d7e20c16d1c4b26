"""What scripts for torch.distributed call daily: gather, all_to_all of lists, objects."""

import kernbench as kb


def worker(rank, n, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm", rank=rank, world_size=n)
    mine = torch.full((2,), float(rank))
    for name in ("gather", "all_to_all", "broadcast_object_list", "all_gather_object"):
        into = [torch.empty(2) for _ in range(n)]
        objects = [{"rank": rank}]
        gathered = [None] * n
        calls = {
            "gather": lambda: dist.gather(mine, into if rank == 0 else None, dst=0),
            "all_to_all": lambda: dist.all_to_all(into, [mine] * n),
            "broadcast_object_list": lambda: dist.broadcast_object_list(objects, src=0),
            "all_gather_object": lambda: dist.all_gather_object(gathered, {"rank": rank}),
        }
        try:
            calls[name]()
            print(rank, name, [x.tolist() for x in into], objects, gathered)
        except Exception as error:
            print(rank, name, type(error).__name__, str(error)[:70])


torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(2, torch), nprocs=2)

# $ python gather_and_objects.py
# 0 gather [[0.0, 0.0], [1.0, 1.0]] [{'rank': 0}] [None, None]
# 1 gather [[nan, nan], [nan, nan]] [{'rank': 1}] [None, None]
# 1 all_to_all [[0.0, 0.0], [1.0, 1.0]] [{'rank': 1}] [None, None]
# 0 all_to_all [[0.0, 0.0], [1.0, 1.0]] [{'rank': 0}] [None, None]
# 1 broadcast_object_list [[nan, nan], [nan, nan]] [{'rank': 0}] [None, None]
# 0 broadcast_object_list [[nan, nan], [nan, nan]] [{'rank': 0}] [None, None]
# 1 all_gather_object [[nan, nan], [nan, nan]] [{'rank': 1}] [{'rank': 0}, {'rank': 1}]
# 0 all_gather_object [[nan, nan], [nan, nan]] [{'rank': 0}] [{'rank': 0}, {'rank': 1}]
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor2' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor3' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor11' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor12' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor13' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor14' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor15' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor16' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor17' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
#! gather_and_objects.py:22: UninitialisedWarning: the host reads 2 elements from [0] to [1] of 'tensor18' fp32[2] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(rank, name, [x.tolist() for x in into], objects, gathered)
