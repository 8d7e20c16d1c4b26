"""What each collective of ``torch.distributed`` asks of its tensors, what its ranks must agree on, and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from kernbench.dist.backend import AhbmCCLBackend
from kernbench.dist.errors import OURS, BackendError, SizesError, is_rank, require_one_dtype, torch_name
from kernbench.dist.exchange import Pair
from kernbench.dist.groups import Call, Rendezvous, Tensors
from kernbench.dist.reduce_op import ReduceOp, require_op_on
from kernbench.errors import InvalidTypeError
from kernbench.messages.source_line import SourceLine
from kernbench.theory.group import Collective
from kernbench.torch.tensor import DeviceTensor
from kernbench.wording import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One collective of one group: ``call`` is what a rank with these tensors asks for, once they are checked;
    ``run`` runs the calls of all ranks and gives the value of each; ``outputs`` are a work's result."""

    name: str
    call: Callable[[Tensors, SourceLine], Call]
    run: Callable[[Sequence[Call]], Sequence[Any]]
    outputs: Callable[[Tensors], list[DeviceTensor] | None]


class Collectives:
    """Plans by the names of PyTorch."""

    def __init__(self, backend: AhbmCCLBackend) -> None:
        self._backend = backend

    def all_reduce(self, group: Rendezvous, *, op: ReduceOp) -> Plan:
        """In place."""
        how = _op_named("all_reduce", op)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            require_op_on(op, tensors[0].dtype)
            return _call("all_reduce", tensors, line, tensors[0], op=op.name)

        return self._plan("all_reduce", "all_reduce", group, call, (0, 0), list, op=how)

    def broadcast(self, group: Rendezvous, *, root: int) -> Plan:
        """In place."""
        _require_root("broadcast", group, root)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            return _call("broadcast", tensors, line, tensors[0], src=group.ranks[root])

        return self._plan("broadcast", "broadcast", group, call, (0, 0), list, root=root)

    def reduce(self, group: Rendezvous, *, op: ReduceOp, root: int) -> Plan:
        """In place."""
        how = _op_named("reduce", op)
        _require_root("reduce", group, root)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            require_op_on(op, tensors[0].dtype)
            return _call("reduce", tensors, line, tensors[0], op=op.name, dst=group.ranks[root])

        return self._plan("reduce", "reduce", group, call, (0, 0), list, op=how, root=root)

    def all_gather_single(self, group: Rendezvous) -> Plan:
        """Tensors are output and input."""
        n = len(group.ranks)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            output, input_ = tensors
            if output.dtype is not input_.dtype:
                raise SizesError(
                    f"output tensor must have the same type as input tensor: {torch_name(output.dtype)} and "
                    f"{torch_name(input_.dtype)}"
                )
            if output.numel() != n * input_.numel():
                raise SizesError(
                    f"output tensor size must be equal to world_size times input tensor size: {output.numel()} "
                    f"elements are not {n} x {input_.numel()}"
                )
            return _call("all_gather_single", tensors, line, input_)

        return self._plan(
            "all_gather_single", "all_gather", group, call, (1, 0), lambda tensors: [tensors[0]]
        )

    def reduce_scatter_single(self, group: Rendezvous, *, op: ReduceOp) -> Plan:
        """Tensors are output and input."""
        how, n = _op_named("reduce_scatter_single", op), len(group.ranks)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            output, input_ = tensors
            if output.dtype is not input_.dtype:
                raise SizesError(
                    f"input tensor must be the same type as the output tensor: {torch_name(input_.dtype)} and "
                    f"{torch_name(output.dtype)}"
                )
            if n * output.numel() != input_.numel():
                raise SizesError(
                    f"input tensor must be the same size as output size times world size: {input_.numel()} elements "
                    f"are not {output.numel()} x {n}"
                )
            require_op_on(op, output.dtype)
            return _call("reduce_scatter_single", tensors, line, output, op=op.name)

        return self._plan("reduce_scatter_single", "reduce_scatter", group, call, (1, 0), _nothing, op=how)

    def all_to_all_single(self, group: Rendezvous) -> Plan:
        """Tensors are output and input, in even parts of dimension 0."""
        n = len(group.ranks)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            require_one_dtype(tensors)
            for tensor in tensors:
                if (tensor.shape[0] if tensor.shape else 1) % n:
                    raise SizesError(
                        f"Tensor's dim 0 does not divide equally across group size: {list(tensor.shape)} over {n} ranks"
                    )
            output, input_ = tensors
            if output.numel() != input_.numel():
                raise SizesError(
                    f"all_to_all_single: output has {output.numel()} elements and input {input_.numel()}; without "
                    "split sizes they are as many"
                )
            return _call("all_to_all_single", tensors, line, input_)

        return self._plan(
            "all_to_all_single", "all_to_all", group, call, (1, 0), lambda tensors: [tensors[0]]
        )

    def all_to_all_split(self, group: Rendezvous, *, splits: tuple[list[int], list[int]]) -> Plan:
        """Tensors are output and input, in parts of dimension 0 of the given extents: each is a transfer of a pair."""

        def call(tensors: Tensors, line: SourceLine) -> Call:
            require_one_dtype(tensors)
            ends = [
                _bounds(tensor, sizes, len(group.ranks))
                for tensor, sizes in zip(tensors, splits, strict=True)
            ]
            return Call(
                name="all_to_all_single",
                agreed={"dtype": tensors[0].dtype, "splits": "given"},
                tensors=tensors,
                own=ends,
                line=line,
            )

        def run(calls: Sequence[Call]) -> Sequence[Any]:
            return self._move_all(
                "all_to_all_single",
                group,
                calls,
                lambda call, s: _part(call.tensors[1], call.own[1], s),
                lambda call, r: _part(call.tensors[0], call.own[0], r),
            )

        return Plan(name="all_to_all_single", call=call, run=run, outputs=lambda tensors: [tensors[0]])

    def all_to_all(self, group: Rendezvous, *, n_outputs: int) -> Plan:
        """Tensors are an output for each rank, then an input for each: each is a transfer of a pair."""
        n = len(group.ranks)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            for kind, found in (("output", n_outputs), ("input", len(tensors) - n_outputs)):
                if found != n:
                    raise BackendError(
                        f"{OURS}::alltoall: {kind} tensor list size {found} does not match world size {n}"
                    )
            return Call(name="all_to_all", agreed={"dtype": tensors[0].dtype}, tensors=tensors, line=line)

        def run(calls: Sequence[Call]) -> Sequence[Any]:
            return self._move_all(
                "all_to_all",
                group,
                calls,
                lambda call, s: call.tensors[n + s],
                lambda call, r: call.tensors[r],
            )

        return Plan(name="all_to_all", call=call, run=run, outputs=lambda tensors: list(tensors[:n]))

    def gather(self, group: Rendezvous, *, root: int) -> Plan:
        """Tensors are the input, and of the root an output for each rank: each is a transfer."""
        _require_root("gather", group, root)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            input_, *outputs = tensors
            _require_root_list("gather", "output", outputs, input_, len(group.ranks))
            return _call("gather", tensors, line, input_, dst=group.ranks[root])

        def run(calls: Sequence[Call]) -> Sequence[Any]:
            outputs = calls[root].tensors[1:]
            self._backend.move(
                [
                    Pair(pe, group.pes[root], call.tensors[0], output)
                    for pe, call, output in zip(group.pes, calls, outputs, strict=True)
                ]
            )
            return [None] * len(calls)

        return Plan(name="gather", call=call, run=run, outputs=lambda tensors: list(tensors[1:]))

    def scatter(self, group: Rendezvous, *, root: int) -> Plan:
        """Tensors are the output, and of the root an input for each rank: each is a transfer."""
        _require_root("scatter", group, root)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            output, *inputs = tensors
            _require_root_list("scatter", "input", inputs, output, len(group.ranks))
            return _call("scatter", tensors, line, output, src=group.ranks[root])

        def run(calls: Sequence[Call]) -> Sequence[Any]:
            inputs = calls[root].tensors[1:]
            self._backend.move(
                [
                    Pair(group.pes[root], pe, input_, call.tensors[0])
                    for pe, call, input_ in zip(group.pes, calls, inputs, strict=True)
                ]
            )
            return [None] * len(calls)

        return Plan(name="scatter", call=call, run=run, outputs=lambda tensors: [tensors[0]])

    def all_gather(self, group: Rendezvous) -> Plan:
        """Tensors are an output for each rank, and the input: gathered in one piece, then copied."""
        n = len(group.ranks)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            *outputs, input_ = tensors
            require_one_dtype(tensors)
            _require_list("allgather", "output", outputs, input_, n)
            return _call("all_gather", tensors, line, input_)

        def run(calls: Sequence[Call]) -> Sequence[Any]:
            inputs = [call.tensors[-1] for call in calls]
            n_elem = inputs[0].numel()
            if not n_elem:
                return [None] * n
            staged = [self._backend.staging(pe, n * n_elem, inputs[0]) for pe in group.pes]
            self._backend.run("all_gather", group.pes, inputs, staged, n_elem=n_elem)
            self._backend.move(
                [
                    Pair(pe, pe, whole.narrow(0, r * n_elem, n_elem), call.tensors[r])
                    for pe, whole, call in zip(group.pes, staged, calls, strict=True)
                    for r in range(n)
                ]
            )
            return [None] * n

        return Plan(name="all_gather", call=call, run=run, outputs=lambda tensors: list(tensors[:-1]))

    def reduce_scatter(self, group: Rendezvous, *, op: ReduceOp) -> Plan:
        """Tensors are the output, and an input for each rank: copied to one piece, then reduced and scattered."""
        how, n = _op_named("reduce_scatter", op), len(group.ranks)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            output, *inputs = tensors
            require_one_dtype(tensors)
            _require_list("reduce_scatter", "input", inputs, output, n)
            require_op_on(op, output.dtype)
            return _call("reduce_scatter", tensors, line, output, op=op.name)

        def run(calls: Sequence[Call]) -> Sequence[Any]:
            outputs = [call.tensors[0] for call in calls]
            n_elem = outputs[0].numel()
            if not n_elem:
                return [None] * n
            staged = [self._backend.staging(pe, n * n_elem, outputs[0]) for pe in group.pes]
            self._backend.move(
                [
                    Pair(pe, pe, call.tensors[1 + r], whole.narrow(0, r * n_elem, n_elem))
                    for pe, whole, call in zip(group.pes, staged, calls, strict=True)
                    for r in range(n)
                ]
            )
            self._backend.run("reduce_scatter", group.pes, staged, outputs, n_elem=n_elem, op=how)
            return [None] * n

        return Plan(name="reduce_scatter", call=call, run=run, outputs=_nothing)

    def barrier(self, group: Rendezvous, *, name: str = "barrier") -> Plan:
        """No tensors."""

        def run(calls: Sequence[Call]) -> Sequence[Any]:
            self._backend.run("barrier", group.pes, (), (), n_elem=0)
            return [None] * len(calls)

        def call(tensors: Tensors, line: SourceLine) -> Call:
            return Call(name=name, agreed={}, line=line)

        return Plan(name=name, call=call, run=run, outputs=list)

    def _move_all(
        self,
        name: str,
        group: Rendezvous,
        calls: Sequence[Call],
        source_of: Callable[[Call, int], DeviceTensor],
        target_of: Callable[[Call, int], DeviceTensor],
    ) -> Sequence[Any]:
        """Move ``source_of(call of r, s)`` to ``target_of(call of s, r)``, for all members r and s."""
        pairs = []
        for r, sender in enumerate(calls):
            for s, receiver in enumerate(calls):
                source, target = source_of(sender, s), target_of(receiver, r)
                if source.numel() != target.numel():
                    raise BackendError(
                        f"{name}: rank {group.ranks[r]} sends {source.numel()} elements to rank "
                        f"{group.ranks[s]} ({sender.line}), which expects {target.numel()} ({receiver.line}); "
                        "give both the same size"
                    )
                pairs.append(Pair(group.pes[r], group.pes[s], source, target))
        self._backend.move(pairs)
        return [None] * len(calls)

    def _plan(
        self,
        name: str,
        collective: Collective,
        group: Rendezvous,
        call: Callable[[Tensors, SourceLine], Call],
        ends: tuple[int, int],
        outputs: Callable[[Tensors], list[DeviceTensor] | None],
        **how: Any,
    ) -> Plan:
        """The plan of what one algorithm does: from the ``ends[0]``-th to the ``ends[1]``-th tensor of each rank."""

        def run(calls: Sequence[Call]) -> Sequence[Any]:
            sources, targets = ([call.tensors[end] for call in calls] for end in ends)
            n_elem = min(sources[0].numel(), targets[0].numel())
            self._backend.run(collective, group.pes, sources, targets, n_elem=n_elem, **how)
            return [None] * len(calls)

        return Plan(name=name, call=call, run=run, outputs=outputs)


def _call(name: str, tensors: Tensors, line: SourceLine, sized: DeviceTensor, **agreed: object) -> Call:
    """A call whose ranks agree on the size and dtype of ``sized`` and on all that is said besides."""
    return Call(
        name=name,
        agreed={"numel": sized.numel(), "dtype": sized.dtype, **agreed},
        tensors=tensors,
        line=line,
    )


def _op_named(name: str, op: Any) -> str:
    """An op as algorithms name it."""
    if not isinstance(op, ReduceOp):
        raise InvalidTypeError(
            f"{name}: op must be a torch.distributed.ReduceOp, as in ReduceOp.SUM, not {quoted(op)}"
        )
    return op.value


def _require_root(name: str, group: Rendezvous, root: int) -> None:
    if not is_rank(root, len(group.ranks)):
        raise BackendError(f"{OURS}::{name}: invalid root rank: {quoted(root)}")


def _require_list(name: str, kind: str, tensors: Sequence[DeviceTensor], like: DeviceTensor, n: int) -> None:
    """Refuse a list that is no tensor like ``like`` for each of ``n`` ranks."""
    if len(tensors) != n:
        raise BackendError(
            f"{OURS}::{name}: invalid {kind} tensor list at index 0 (expected length {n}, got {len(tensors)})"
        )
    _require_shapes(name, tensors, like)


def _require_root_list(
    name: str, kind: str, tensors: Sequence[DeviceTensor], like: DeviceTensor, n: int
) -> None:
    """Refuse a root's list that is no tensor like ``like`` for each of ``n`` ranks; other ranks give none."""
    if tensors and len(tensors) != n:
        raise BackendError(
            f"{OURS}::{name}: Incorrect {kind} list size {len(tensors)}. {kind.capitalize()} list size should be {n}, "
            "same as size of the process group."
        )
    _require_shapes(name, tensors, like)


def _require_shapes(name: str, tensors: Sequence[DeviceTensor], like: DeviceTensor) -> None:
    for i, tensor in enumerate(tensors):
        if tensor.shape != like.shape:
            raise BackendError(
                f"{OURS}::{name}: invalid tensor size at index {i} (expected {_shape(like)}, got {_shape(tensor)})"
            )


def _shape(tensor: DeviceTensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def _bounds(tensor: DeviceTensor, sizes: list[int], n: int) -> list[int]:
    """Where the parts of dimension 0 begin and the last one ends, in elements; even ones, if no sizes are given."""
    extent = tensor.shape[0] if tensor.shape else 1
    if not sizes:
        if extent % n:
            raise SizesError(
                f"Tensor's dim 0 does not divide equally across group size: {list(tensor.shape)} over {n} ranks"
            )
        sizes = [extent // n] * n
    if len(sizes) != n:
        raise SizesError("Number of tensor splits not equal to group size")
    if sum(sizes) != extent:
        raise SizesError("Split sizes doesn't match total dim 0 size")
    row_elems = tensor.numel() // extent if extent else 0
    return [0, *accumulate(size * row_elems for size in sizes)]


def _part(tensor: DeviceTensor, bounds: Sequence[int], index: int) -> DeviceTensor:
    return tensor.view(-1).narrow(0, bounds[index], bounds[index + 1] - bounds[index])


def _nothing(tensors: Tensors) -> None:
    """The result of a work whose PyTorch says none."""
    return
