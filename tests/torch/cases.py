"""What every rank does, written once: for the real torch over gloo, and for KernBench's facade.

A case is ``case(torch, rank, world_size, groups) -> plain values``; each runs on all ranks, in the order of ``BEFORE``
(no process group yet), ``CASES``, ``DIFFERENT`` (what the two are known to answer differently) and ``AFTER`` (no group
any more). Values are small whole numbers, so that no order of additions can be seen in them.
"""

import warnings
from itertools import product

WORLD_SIZE = 4
GROUPS = {"world": None, "pair": [0, 2], "turned": [3, 1, 0]}
DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "uint8", "int32", "int64", "bool")
OPS = ("SUM", "PRODUCT", "MIN", "MAX", "AVG", "BAND", "BOR", "BXOR")
BITWISE = OPS[-3:]
FLOATS = ("float32", "float64", "float16", "bfloat16")
NOBODY = "not a member"

BEFORE, CASES, DIFFERENT, AFTER = {}, {}, {}, {}


def case(name, into=CASES):
    """Decorator: enters a case."""

    def enter(function):
        assert name not in into
        into[name] = function
        return function

    return enter


def run(torch, rank, world_size, init):
    """The values of all cases on one rank, by name; ``init()`` makes the default group."""
    found = {f"before: {name}": f(torch, rank, world_size, {}) for name, f in BEFORE.items()}
    init()
    dist = torch.distributed
    groups = {
        name: None if ranks is None else dist.new_group(ranks, sort_ranks=False)
        for name, ranks in GROUPS.items()
    }
    groups["spare"] = (
        dist.new_group()
    )  # for what fails in a thread of gloo, which its next barrier tells again
    for name, f in CASES.items():
        found[name] = f(torch, rank, world_size, groups)
    found |= {f"different: {name}": f(torch, rank, world_size, groups) for name, f in DIFFERENT.items()}
    dist.destroy_process_group()
    return found | {f"after: {name}": f(torch, rank, world_size, groups) for name, f in AFTER.items()}


def values(tensor):
    """A tensor as plain numbers."""
    return [float(x) for x in tensor.reshape(-1).tolist()]


def refused(call):
    """The kinds of the error that ``call`` raises, and its text."""
    try:
        answer = call()
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        return {"error": kinds, "text": str(error)}
    return {"answer": repr(answer)}


def refused_somehow(call):
    """The same without its text, which is gloo's own or pybind11's."""
    return {**refused(call), "text": ""}


def warned(call):
    """What ``call``, which must not wait for other ranks, gives and warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = call()
    return [repr(answer), [[w.category.__name__, str(w.message)] for w in caught]]


def numbers(torch, rank, n, dtype, first=0):
    """Elements first ... first + n - 1 of what rank holds: whole numbers from 0 to 3."""
    return torch.tensor(
        [(rank * 7 + i * 3) % 4 for i in range(first, first + n)], dtype=getattr(torch, dtype)
    )


def place(groups, name, rank):
    """The group, its ranks, and whether ``rank`` is one of them."""
    ranks = GROUPS[name] or list(range(WORLD_SIZE))
    return groups[name], ranks, rank in ranks


def in_group(name):
    """Decorator: the case runs on the members of one group only, as ``f(torch, dist, group, me, ranks)``."""

    def wrap(f):
        def on_members(torch, rank, world_size, groups):
            group, ranks, is_member = place(groups, name, rank)
            return f(torch, torch.distributed, group, ranks.index(rank), ranks) if is_member else NOBODY

        return on_members

    return wrap


# -- collectives x dtypes x ops x groups ------------------------------------------------------------------


def reducing(group_name, dtype, op):
    """Cases of the three collectives that reduce."""
    where = f"{group_name} {dtype} {op}"
    if (op == "AVG" and dtype not in FLOATS) or (op in BITWISE and dtype in FLOATS):
        return

    @case(f"all_reduce {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        x = numbers(torch, me, 11, dtype)
        assert dist.all_reduce(x, op=getattr(dist.ReduceOp, op), group=group) is None
        return values(x)

    @case(f"reduce {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        x, dst = numbers(torch, me, 5, dtype), ranks[-1]
        dist.reduce(x, dst, op=getattr(dist.ReduceOp, op), group=group)
        return values(x) if ranks[me] == dst else "undefined"

    @case(f"reduce_scatter_single {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        y = torch.zeros(3, dtype=getattr(torch, dtype))
        dist.reduce_scatter_single(
            y, numbers(torch, me, 3 * len(ranks), dtype), op=getattr(dist.ReduceOp, op), group=group
        )
        return values(y)


def moving(group_name, dtype):
    """Cases of the collectives that only move."""
    where = f"{group_name} {dtype}"

    @case(f"broadcast {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        x, y = numbers(torch, me, 7, dtype), numbers(torch, me, 7, dtype)
        dist.broadcast(x, ranks[-1], group=group)
        dist.broadcast(y, group_src=0, group=group)
        return values(x) + values(y)

    @case(f"all_gather_single {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        y = torch.zeros(5 * len(ranks), dtype=getattr(torch, dtype))
        dist.all_gather_single(y, numbers(torch, me, 5, dtype), group=group)
        return values(y)

    @case(f"all_gather {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        ys = [torch.zeros(2, 3, dtype=getattr(torch, dtype)) for _ in ranks]
        dist.all_gather(ys, numbers(torch, me, 6, dtype).reshape(2, 3), group=group)
        return [values(y) for y in ys]

    @case(f"all_to_all_single {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        y = torch.zeros(2 * len(ranks), dtype=getattr(torch, dtype))
        dist.all_to_all_single(y, numbers(torch, me, 2 * len(ranks), dtype), group=group)
        return values(y)

    @case(f"all_to_all {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        n = len(ranks)
        ys = [torch.zeros(2, 3, dtype=getattr(torch, dtype)) for _ in ranks]
        xs = [numbers(torch, me * n + s, 6, dtype).reshape(2, 3) for s in range(n)]
        assert dist.all_to_all(ys, xs, group=group) is None
        return [values(y) for y in ys]

    @case(f"gather {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        x = numbers(torch, me, 5, dtype)
        ys = [torch.zeros(5, dtype=getattr(torch, dtype)) for _ in ranks] if me == len(ranks) - 1 else None
        assert dist.gather(x, ys, ranks[-1], group=group) is None
        zs = [torch.zeros(5, dtype=getattr(torch, dtype)) for _ in ranks] if me == 0 else []
        dist.gather(x, zs, group=group, group_dst=0)
        return [values(y) for y in [*(ys or ()), *zs]]

    @case(f"scatter {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        y, n = torch.zeros(3, dtype=getattr(torch, dtype)), len(ranks)
        xs = [numbers(torch, r, 3, dtype) for r in range(n)] if me == n - 1 else None
        assert dist.scatter(y, xs, ranks[-1], group=group) is None
        return values(y)

    @case(f"all_to_all_single with splits {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        n = len(ranks)
        sent, received = [me + s for s in range(n)], [r + me for r in range(n)]
        y = torch.zeros(sum(received), dtype=getattr(torch, dtype))
        dist.all_to_all_single(y, numbers(torch, me, sum(sent), dtype), received, sent, group=group)
        return values(y)

    @case(f"send and recv {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        x = numbers(torch, me, 4, dtype)
        if me == 0:
            assert dist.send(x, ranks[1], group=group) is None
        if me == 1:
            return [dist.recv(x, ranks[0], group=group), values(x)]
        return values(x)

    @case(f"batch_isend_irecv {where}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        x, y = numbers(torch, me, 4, dtype), torch.zeros(4, dtype=getattr(torch, dtype))
        n = len(ranks)
        ops = [
            dist.P2POp(dist.isend, x, ranks[(me + 1) % n], group),
            dist.P2POp(dist.irecv, y, group=group, group_peer=(me - 1) % n),
        ]
        for work in dist.batch_isend_irecv(ops):
            work.wait()
        return values(y)


for _group, _dtype in product(GROUPS, DTYPES):
    moving(_group, _dtype)
    for _op in OPS:
        reducing(_group, _dtype, _op)


def with_nan(torch, rank, where, n, dtype="float32"):
    """``n`` elements of which rank ``where`` (all, if None) holds NaN and the others their rank."""
    value = float("nan") if where in (rank, None) else float(rank)
    return torch.full((n,), value, dtype=getattr(torch, dtype))


@case("the largest and the smallest of a NaN on rank 0")
def _(torch, rank, world_size, groups):
    dist, found = torch.distributed, []
    for dtype, op in product(FLOATS, ("MAX", "MIN")):
        x, y = with_nan(torch, rank, 0, 1, dtype), with_nan(torch, rank, 0, 1, dtype)
        dist.all_reduce(x, op=getattr(dist.ReduceOp, op))
        dist.reduce(y, 0, op=getattr(dist.ReduceOp, op))
        found += [str(v) for v in values(x) + (values(y) if rank == 0 else [])]
    return found


@case("the largest and the smallest of NaNs everywhere")
def _(torch, rank, world_size, groups):
    dist, found = torch.distributed, []
    for dtype, op in product(FLOATS, ("MAX", "MIN", "SUM", "PRODUCT", "AVG")):
        x = with_nan(torch, rank, None, 5, dtype)
        dist.all_reduce(x, op=getattr(dist.ReduceOp, op))
        found += [str(v) for v in values(x)]
    return found


@case("NaNs", DIFFERENT)
def _(torch, rank, world_size, groups):
    """The numbers of elements that are NaN after a MAX of 8, by the rank that held NaN."""
    dist, found = torch.distributed, []
    for where in range(world_size):
        x = with_nan(torch, rank, where, 8)
        dist.all_reduce(x, op=dist.ReduceOp.MAX)
        found.append(sum(v != v for v in values(x)))
    return found


# -- semantics --------------------------------------------------------------------------------------------


@case("who I am")
def _(torch, rank, world_size, groups):
    dist = torch.distributed
    mine = [[dist.get_rank(group), dist.get_world_size(group)] for group in groups.values()]
    return [
        mine,
        dist.is_initialized(),
        dist.is_available(),
        dist.group.WORLD.size(),
        dist.group.WORLD.rank(),
    ]


@case("groups know their ranks")
def _(torch, rank, world_size, groups):
    dist = torch.distributed
    group, ranks, is_member = place(groups, "turned", rank)
    if not is_member:
        return [repr(group), dist.get_rank(group), dist.get_world_size(group)]
    return [
        dist.get_process_group_ranks(group),
        [dist.get_group_rank(group, r) for r in ranks],
        [dist.get_global_rank(group, i) for i in range(len(ranks))],
        group.size(),
        group.rank(),
        refused(lambda: dist.get_group_rank(group, 2)),
        refused(lambda: dist.get_global_rank(group, 9)),
    ]


@case("a group's ranks are sorted unless told otherwise")
def _(torch, rank, world_size, groups):
    dist = torch.distributed
    group = dist.new_group([2, 0, 1])
    return [dist.get_rank(group), dist.get_process_group_ranks(group) if rank < 3 else None]


@case("a group of all")
def _(torch, rank, world_size, groups):
    group, x = torch.distributed.new_group(), torch.full((2,), float(rank))
    torch.distributed.all_reduce(x, group=group)
    return values(x)


@case("a work")
def _(torch, rank, world_size, groups):
    dist, x = torch.distributed, torch.full((3,), float(rank))
    work = dist.all_reduce(x, async_op=True)
    waited = work.wait()
    return [
        [waited, work.is_completed(), work.is_success(), work.exception(), work.synchronize()],
        [values(t) for t in work.result()],
        [values(t) for t in work.get_future().wait()],
        work.get_future().done(),
        refused(lambda: work._source_rank()),
    ]


@case("works of all collectives")
def _(torch, rank, world_size, groups):
    dist, x = torch.distributed, torch.full((4,), float(rank))
    y, z = torch.zeros(4 * world_size), torch.zeros(4)
    works = [
        dist.barrier(async_op=True),
        dist.broadcast(x, 1, async_op=True),
        dist.reduce_scatter_single(z, torch.full((4 * world_size,), 1.0), async_op=True),
        dist.all_gather_single(y, torch.full((4,), float(rank)), async_op=True),
        dist.all_to_all_single(torch.zeros(4), torch.zeros(4), async_op=True),
        dist.reduce(torch.zeros(4), 0, async_op=True),
        dist.gather(x, [torch.zeros(4) for _ in range(world_size)] if rank == 1 else None, 1, async_op=True),
        dist.scatter(torch.zeros(4), [x] * world_size if rank == 1 else None, 1, async_op=True),
        dist.all_to_all([torch.zeros(4) for _ in range(world_size)], [x] * world_size, async_op=True),
    ]
    return [
        [work.wait() for work in works],
        [values(t) for t in (x, y, z)],
        works[0].result(),
        refused(works[2].result),
        [[values(t) for t in work.result()] for work in works[-3:]],
    ]


@case("from any source")
def _(torch, rank, world_size, groups):
    dist, x = torch.distributed, torch.full((3,), float(rank))
    if rank == 2:
        dist.send(x, 0)
    return [dist.recv(x), values(x)] if rank == 0 else None


@case("tags choose among messages")
def _(torch, rank, world_size, groups):
    dist = torch.distributed
    if rank == 0:
        works = [dist.isend(torch.full((2,), float(tag)), 1, tag=tag) for tag in (5, 6, 7)]
        return [work.wait() for work in works]
    if rank == 1:
        found = []
        for tag in (7, 5, 6):
            x = torch.zeros(2)
            dist.recv(x, 0, tag=tag)
            found.append(values(x))
        return found
    return None


@case("messages of one tag keep their order")
def _(torch, rank, world_size, groups):
    dist = torch.distributed
    if rank == 0:
        works = [dist.isend(torch.full((n,), float(n)), 1) for n in (1, 2, 3)]
        return [work.wait() for work in works]
    if rank == 1:
        xs = [torch.zeros(n) for n in (1, 2, 3)]
        for work in [dist.irecv(x, 0) for x in xs]:
            work.wait()
        return [values(x) for x in xs]
    return None


@case("long messages both ways")
def _(torch, rank, world_size, groups):
    dist, n = torch.distributed, 5000
    x, y = torch.full((n,), float(rank)), torch.zeros(n)
    works = [dist.isend(x, rank ^ 1), dist.irecv(y, rank ^ 1)]
    return [[work.wait() for work in works], sum(values(y))]


@case("groups do not hear each other")
def _(torch, rank, world_size, groups):
    dist = torch.distributed
    group, _, is_member = place(groups, "pair", rank)
    x, y = torch.full((2,), float(rank)), torch.full((2,), float(rank))
    first = dist.all_reduce(x, async_op=True)
    if is_member:
        dist.all_reduce(y, group=group)
    first.wait()
    return [values(x), values(y)]


@case("no elements, and no dimensions")
def _(torch, rank, world_size, groups):
    dist, x, y = torch.distributed, torch.zeros(0), torch.tensor(float(rank))
    dist.all_reduce(x)
    dist.all_reduce(y)
    return [values(x), values(y), list(y.shape)]


@case("many dimensions")
def _(torch, rank, world_size, groups):
    x = torch.full((2, 3, 5), float(rank))
    torch.distributed.all_reduce(x)
    return [list(x.shape), values(x)]


@case("by position")
def _(torch, rank, world_size, groups):
    dist, x, y = torch.distributed, torch.full((2,), float(rank)), torch.full((2,), float(rank))
    work = dist.all_reduce(x, dist.ReduceOp.MAX, None, True)
    work.wait()
    dist.reduce(y, 2, dist.ReduceOp.MIN)
    return [values(x), values(y) if rank == 2 else None]


@case("reduce_scatter of a list")
def _(torch, rank, world_size, groups):
    y = torch.zeros(3)
    torch.distributed.reduce_scatter(y, [torch.full((3,), float(rank + r)) for r in range(world_size)])
    return values(y)


@case("a destroyed group is gone, the others stay")
def _(torch, rank, world_size, groups):
    dist, x = torch.distributed, torch.full((2,), float(rank))
    group = dist.new_group([0, 1, 2, 3])
    dist.destroy_process_group(group)
    gone = [refused(lambda: dist.get_rank(group)), refused(lambda: dist.destroy_process_group(group))]
    dist.all_reduce(x)
    return [gone, values(x)]


# -- objects ----------------------------------------------------------------------------------------------


def objects(group_name):
    """Cases of objects of different sizes, and of different kinds."""

    def thing(me):
        return {"rank": me, "long": "x" * (1 + 50 * me), "nested": [(me,), {me: None}, 2.5, b"bytes"]}

    @case(f"all_gather_object {group_name}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        found = [None] * len(ranks)
        assert dist.all_gather_object(found, thing(me), group=group) is None
        return [repr(x) for x in found]

    @case(f"gather_object {group_name}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        found = [None] * len(ranks) if me == len(ranks) - 1 else None
        assert dist.gather_object(thing(me), found, ranks[-1], group=group) is None
        return repr(found)

    @case(f"broadcast_object_list {group_name}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        found = [thing(me), me, None]
        assert dist.broadcast_object_list(found, ranks[-1], group=group) is None
        return repr(found)

    @case(f"scatter_object_list {group_name}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        found, given = ["first", "second"], [thing(r) for r in range(len(ranks))]
        dist.scatter_object_list(found, given if me == 0 else None, group=group, group_src=0)
        return repr(found)

    @case(f"send_object_list and recv_object_list {group_name}")
    @in_group(group_name)
    def _(torch, dist, group, me, ranks):
        found = [None] * 3
        if me == 0:
            return dist.send_object_list([thing(0), "middle", thing(1)], ranks[1], group=group)
        return [dist.recv_object_list(found, ranks[0], group=group), repr(found)] if me == 1 else None


for _group in GROUPS:
    objects(_group)


@case("an object arrives as a copy, at its own rank too")
def _(torch, rank, world_size, groups):
    dist, mine, found = torch.distributed, {"rank": rank}, [None] * world_size
    dist.all_gather_object(found, mine)
    given = [mine]
    dist.broadcast_object_list(given, 2)
    return [found[rank] is mine, given[0] is mine, found == [{"rank": r} for r in range(world_size)]]


@case("dtypes are what they were, and a longer list keeps its end")
def _(torch, rank, world_size, groups):
    found = [None] * (world_size + 1)
    torch.distributed.all_gather_object(found, (torch.float16, torch.bfloat16))
    return [found[0][0] is torch.float16, found[1][1] is torch.bfloat16, repr(found[-1])]


@case("tensors of the host in objects")
def _(torch, rank, world_size, groups):
    found = [None] * world_size
    mine = torch.tensor([rank, 2.5], dtype=torch.bfloat16).cpu()
    torch.distributed.all_gather_object(found, {"loss": mine})
    return [values(x["loss"]) for x in found]


@case("a barrier that is watched")
def _(torch, rank, world_size, groups):
    dist = torch.distributed
    group, _, is_member = place(groups, "pair", rank)
    found = [dist.monitored_barrier(), dist.monitored_barrier(wait_all_ranks=True)]
    return [*found, dist.monitored_barrier(group) if is_member else None]


# -- misuse -----------------------------------------------------------------------------------------------


def uninitialized(into):
    """What is refused without a default group."""
    calls = {
        "all_reduce": lambda dist, x: dist.all_reduce(x),
        "barrier": lambda dist, x: dist.barrier(),
        "broadcast": lambda dist, x: dist.broadcast(x, 0),
        "get_rank": lambda dist, x: dist.get_rank(),
        "get_world_size": lambda dist, x: dist.get_world_size(),
        "get_backend": lambda dist, x: dist.get_backend(),
        "send": lambda dist, x: dist.send(x, 1),
        "recv": lambda dist, x: dist.recv(x),
        "isend": lambda dist, x: dist.isend(x, 1),
        "new_group": lambda dist, x: dist.new_group([0]),
        "P2POp": lambda dist, x: dist.P2POp(dist.isend, x, 1),
        "destroy_process_group": lambda dist, x: dist.destroy_process_group(),
        "is_initialized": lambda dist, x: dist.is_initialized(),
        "WORLD": lambda dist, x: dist.group.WORLD,
    }
    for name, call in calls.items():

        @case(name, into)
        def _(torch, rank, world_size, groups, call=call):
            return refused(lambda: call(torch.distributed, torch.zeros(2)))


uninitialized(BEFORE)
uninitialized(AFTER)


@case("init_process_group of no backend", BEFORE)
def _(torch, rank, world_size, groups):
    return [
        refused(lambda: torch.distributed.init_process_group(3, rank=rank, world_size=world_size)),
        refused(lambda: torch.distributed.init_process_group(rank=rank, world_size=world_size, timeout=3)),
    ]


@case("init_process_group by a way that says too little", BEFORE)
def _(torch, rank, world_size, groups):
    def init(**how):
        torch.distributed.init_process_group(**how)

    return [
        refused(lambda: init(init_method="tcp://127.0.0.1:1")),
        refused(lambda: init(init_method="tcp://127.0.0.1:1", rank=rank)),
        refused(lambda: init(init_method="file:///nowhere")),
        refused(lambda: init(init_method="elsewhere://")),
        refused(lambda: init(init_method=3)),
    ]


@case("init_process_group twice")
def _(torch, rank, world_size, groups):
    return refused(lambda: torch.distributed.init_process_group(rank=rank, world_size=world_size))


def misuse(name, *calls, by=refused):
    """Cases ``call(torch, dist, tensor of 4 fp32)`` that all ranks refuse before they say anything to each other."""

    @case(name)
    def _(torch, rank, world_size, groups):
        return [by(lambda call=call: call(torch, torch.distributed, torch.zeros(4))) for call in calls]


misuse(
    "no tensor",
    lambda torch, dist, x: dist.all_reduce([1, 2]),
    lambda torch, dist, x: dist.all_reduce(None),
    lambda torch, dist, x: dist.broadcast(3, 0),
    lambda torch, dist, x: dist.isend([1], 0),
    lambda torch, dist, x: dist.all_gather(3, x),
    lambda torch, dist, x: dist.all_gather([1] * WORLD_SIZE, x),
    lambda torch, dist, x: dist.all_gather_single(1, x),
    lambda torch, dist, x: dist.reduce_scatter_single(1, x),
    lambda torch, dist, x: dist.all_to_all_single(x, 1),
)


@case("no average of integers")
def _(torch, rank, world_size, groups):
    dist, group = torch.distributed, groups["spare"]

    def average(dtype):
        dist.all_reduce(numbers(torch, rank, 4, dtype), op=dist.ReduceOp.AVG, group=group)

    return [refused(lambda dtype=dtype: average(dtype)) for dtype in DTYPES if dtype not in FLOATS]


@case("no bits of floats")
def _(torch, rank, world_size, groups):
    dist, group = torch.distributed, groups["spare"]
    ops = [getattr(dist.ReduceOp, op) for op in BITWISE]
    tries = [(numbers(torch, rank, 4, dtype), op) for dtype in FLOATS for op in ops]
    return [refused(lambda x=x, op=op: dist.all_reduce(x, op=op, group=group)) for x, op in tries]


def me(dist):
    """This rank, and the next one."""
    return dist.get_rank(), (dist.get_rank() + 1) % WORLD_SIZE


misuse(
    "gather and scatter",
    lambda torch, dist, x: dist.gather(3),
    lambda torch, dist, x: dist.gather(x, [1]),
    lambda torch, dist, x: dist.gather(x, (x,) * WORLD_SIZE),
    lambda torch, dist, x: dist.gather(x, [torch.zeros(4, dtype=torch.int32)] * WORLD_SIZE),
    lambda torch, dist, x: dist.gather(x, dst=me(dist)[0]),
    lambda torch, dist, x: dist.gather(x, [x] * WORLD_SIZE, me(dist)[1]),
    lambda torch, dist, x: dist.gather(x, [x], me(dist)[0]),
    lambda torch, dist, x: dist.gather(x, [torch.zeros(3)] * WORLD_SIZE, me(dist)[0]),
    lambda torch, dist, x: dist.gather(x, None, WORLD_SIZE + 2),
    lambda torch, dist, x: dist.gather(x, None, 0, group_dst=0),
    lambda torch, dist, x: dist.scatter([x]),
    lambda torch, dist, x: dist.scatter(x, [1]),
    lambda torch, dist, x: dist.scatter(x, src=me(dist)[0]),
    lambda torch, dist, x: dist.scatter(x, [x] * WORLD_SIZE, me(dist)[1]),
    lambda torch, dist, x: dist.scatter(x, [x], me(dist)[0]),
    lambda torch, dist, x: dist.scatter(x, [torch.zeros(3)] * WORLD_SIZE, me(dist)[0]),
    lambda torch, dist, x: dist.scatter(x, None, WORLD_SIZE),
)
misuse(
    "all_to_all of lists",
    lambda torch, dist, x: dist.all_to_all(x, x),
    lambda torch, dist, x: dist.all_to_all([x] * WORLD_SIZE, 3),
    lambda torch, dist, x: dist.all_to_all([x], [x] * WORLD_SIZE),
    lambda torch, dist, x: dist.all_to_all([x] * WORLD_SIZE, [x]),
    lambda torch, dist, x: dist.all_to_all(
        [x] * WORLD_SIZE, [torch.zeros(4, dtype=torch.int32)] * WORLD_SIZE
    ),
)
misuse(
    "objects",
    lambda torch, dist, x: dist.gather_object(1, None, me(dist)[0]),
    lambda torch, dist, x: dist.gather_object(1, [None] * WORLD_SIZE, me(dist)[1]),
    lambda torch, dist, x: dist.scatter_object_list([None], None, me(dist)[0]),
    lambda torch, dist, x: dist.scatter_object_list([], None),
    lambda torch, dist, x: dist.scatter_object_list(3, None),
    lambda torch, dist, x: dist.send_object_list([1], me(dist)[0]),
    lambda torch, dist, x: dist.send_object_list([1]),
    lambda torch, dist, x: dist.recv_object_list([1], me(dist)[0]),
    lambda torch, dist, x: dist.recv_object_list([1]),
    lambda torch, dist, x: dist.broadcast_object_list([], me(dist)[0]),
    lambda torch, dist, x: dist.broadcast_object_list([1], 0, group_src=0),
)
misuse(
    "a lambda as an object",
    lambda torch, dist, x: dist.all_gather_object([None] * WORLD_SIZE, lambda: 1),
    by=lambda call: refused(call)["error"][:1],
)
misuse("a barrier that is watched for too long", lambda torch, dist, x: dist.monitored_barrier(timeout=3))
misuse(
    "subgroups",
    lambda torch, dist, x: dist.new_subgroups(),
    lambda torch, dist, x: dist.new_subgroups(0),
    lambda torch, dist, x: dist.new_subgroups(3),
    lambda torch, dist, x: dist.new_subgroups(WORLD_SIZE + 1),
    lambda torch, dist, x: dist.new_subgroups_by_enumeration([]),
)
misuse("no op", lambda torch, dist, x: dist.all_reduce(x, op="sum"), by=refused_somehow)
misuse(
    "no group",
    lambda torch, dist, x: dist.all_reduce(x, group=3),
    lambda torch, dist, x: dist.all_reduce(x, group="x"),
)
misuse(
    "no root",
    lambda torch, dist, x: dist.broadcast(x),
    lambda torch, dist, x: dist.broadcast(x, 0, group_src=0),
    lambda torch, dist, x: dist.broadcast(x, WORLD_SIZE + 3),
    lambda torch, dist, x: dist.broadcast(x, -1),
    lambda torch, dist, x: dist.reduce(x),
    lambda torch, dist, x: dist.reduce(x, WORLD_SIZE),
)
misuse(
    "lists of the wrong length or shape",
    lambda torch, dist, x: dist.all_gather([torch.zeros(4)], x),
    lambda torch, dist, x: dist.all_gather([torch.zeros(3) for _ in range(WORLD_SIZE)], x),
    lambda torch, dist, x: dist.all_gather([torch.zeros(4, dtype=torch.int32) for _ in range(WORLD_SIZE)], x),
)
misuse(
    "buffers that do not fit",
    lambda torch, dist, x: dist.all_gather_single(torch.zeros(3), x),
    lambda torch, dist, x: dist.all_gather_single(torch.zeros(16, dtype=torch.int32), x),
    lambda torch, dist, x: dist.reduce_scatter_single(torch.zeros(3), torch.zeros(16)),
    lambda torch, dist, x: dist.reduce_scatter_single(torch.zeros(4, dtype=torch.int32), torch.zeros(16)),
    by=refused_somehow,
)
misuse(
    "splits",
    lambda torch, dist, x: dist.all_to_all_single(torch.zeros(4, dtype=torch.int32), x),
    lambda torch, dist, x: dist.all_to_all_single(torch.zeros(8), torch.zeros(8), [1] * 4, [1] * 4),
    lambda torch, dist, x: dist.all_to_all_single(torch.zeros(8), torch.zeros(8), [8], [8]),
)
misuse(
    "sends to nobody",
    lambda torch, dist, x: dist.send(x, dist.get_rank()),
    lambda torch, dist, x: dist.send(x),
    lambda torch, dist, x: dist.send(x, 0, group_dst=0),
)
misuse(
    "batches",
    lambda torch, dist, x: dist.P2POp(dist.send, x, 0),
    lambda torch, dist, x: dist.batch_isend_irecv([1]),
    lambda torch, dist, x: dist.batch_isend_irecv((1,)),
    lambda torch, dist, x: dist.batch_isend_irecv([]),
)
misuse(
    "groups",
    lambda torch, dist, x: dist.new_group([0, 0]),
    lambda torch, dist, x: dist.new_group([0, 9]),
    lambda torch, dist, x: dist.new_group([0, -1]),
    lambda torch, dist, x: dist.new_group(list(range(WORLD_SIZE + 1))),
    lambda torch, dist, x: dist.new_group([0], timeout=3),
)


@case("who is no member is told so")
def _(torch, rank, world_size, groups):
    dist, x = torch.distributed, torch.zeros(4)
    group, _, is_member = place(groups, "pair", rank)
    if is_member:
        return refused(lambda: dist.broadcast(x, 1, group=group))
    return [
        warned(lambda: dist.all_reduce(x, group=group)),
        warned(lambda: dist.broadcast(x, 0, group=group)),
        warned(lambda: dist.reduce(x, 0, group=group)),
        warned(lambda: dist.barrier(group=group)),
        warned(lambda: dist.all_gather_single(x, x, group=group)),
        warned(lambda: dist.reduce_scatter_single(x, x, group=group)),
        warned(lambda: dist.all_to_all_single(x, x, group=group)),
        warned(lambda: dist.isend(x, 0, group=group)),
        warned(lambda: dist.gather(x, group=group)),
        warned(lambda: dist.scatter(x, group=group)),
        warned(lambda: dist.all_to_all([x], [x], group=group)),
        warned(lambda: dist.monitored_barrier(group)),
        warned(lambda: dist.all_gather_object([None], 1, group=group)),
        warned(lambda: dist.recv(x, 0, group=group)),
        refused(lambda: dist.send(x, 0, group=group)),
        refused(lambda: dist.get_backend(group)),
        warned(lambda: dist.destroy_process_group(group)),
    ]


@case("former names warn")
def _(torch, rank, world_size, groups):
    dist, x = torch.distributed, torch.zeros(4)
    group, _, is_member = place(groups, "pair", rank)
    if is_member:
        return NOBODY
    return [
        warned(lambda: dist.all_gather_into_tensor(x, x, group=group)),
        warned(lambda: dist.reduce_scatter_tensor(x, x, group=group)),
    ]


@case("groups of ranks that follow each other")
def _(torch, rank, world_size, groups):
    dist = torch.distributed
    (mine, all_), x = dist.new_subgroups(2), torch.full((2,), float(rank))
    dist.all_reduce(x, group=mine)
    other, _ = dist.new_subgroups_by_enumeration([[3, 0], [1]])
    asked = None if other is None else dist.get_process_group_ranks(other)
    return [values(x), len(all_), dist.get_process_group_ranks(mine), asked]
