"""What each collective of ``torch.distributed`` asks of its tensors, what its ranks must agree on, and what runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import ClassVar

from kernbench.dist.backend import AhbmCCLBackend
from kernbench.dist.errors import OURS, BackendError, SizesError, is_rank, require_one_dtype, torch_name
from kernbench.dist.exchange import Pair
from kernbench.dist.groups import Call, Rendezvous, Tensors
from kernbench.dist.reduce_op import ReduceOp, require_op_on
from kernbench.errors import InvalidTypeError
from kernbench.messages.source_line import SourceLine
from kernbench.theory.group import Collective as CollectiveName
from kernbench.torch.tensor import DeviceTensor
from kernbench.wording import quoted


class Collective(ABC):
    """A collective of one group, of PyTorch's ``name``, with ``op`` and ``root`` where it has them.

    ``sized`` is which of a rank's tensors all ranks agree on the size and dtype of; ``root_is`` what a root is called.
    """

    name: ClassVar[str]
    sized: ClassVar[int] = 0
    reduces: ClassVar[bool] = False
    root_is: ClassVar[str] = ""

    def __init__(
        self, backend: AhbmCCLBackend, group: Rendezvous, *, op: ReduceOp = ReduceOp.SUM, root: int = 0
    ) -> None:
        self.backend, self.group, self.n = backend, group, len(group.ranks)
        if not isinstance(op, ReduceOp):
            raise InvalidTypeError(
                f"{self.name}: op must be a torch.distributed.ReduceOp, as in ReduceOp.SUM, not {quoted(op)}"
            )
        if not is_rank(root, self.n):
            raise BackendError(f"{OURS}::{self.name}: invalid root rank: {quoted(root)}")
        self.op, self.root = op, root

    def call(self, tensors: Tensors, line: SourceLine) -> Call:
        """The call of a rank that gives ``tensors`` at ``line``; refuses those that do not fit."""
        self.check(tensors)
        if self.reduces:
            require_op_on(self.op, tensors[self.sized].dtype)
        return Call(name=self.name, agreed=self.agreed(tensors), tensors=tensors, line=line)

    def check(self, tensors: Tensors) -> None:  # noqa: B027  # some ask for nothing
        """Refuse tensors of a rank that do not fit each other."""

    def agreed(self, tensors: Tensors) -> dict[str, object]:
        """All that every rank must say alike."""
        sized = tensors[self.sized]
        said: dict[str, object] = {"numel": sized.numel(), "dtype": sized.dtype}
        if self.reduces:
            said["op"] = self.op.name
        if self.root_is:
            said[self.root_is] = self.group.ranks[self.root]
        return said

    @abstractmethod
    def run(self, calls: Sequence[Call]) -> None:
        """Launch what the calls of all ranks, which agree, ask for."""

    def outputs(self, tensors: Tensors) -> list[DeviceTensor] | None:
        """The result of a rank's work; None where PyTorch says none."""
        return list(tensors[:1])


class Algorithmic(Collective):
    """A collective that one algorithm does: from the ``source``-th tensor of each rank to its first."""

    algorithm: ClassVar[CollectiveName]
    source: ClassVar[int] = 0

    def run(self, calls: Sequence[Call]) -> None:
        """Launch the algorithm on what was given."""
        self.launch([call.tensors[self.source] for call in calls], [call.tensors[0] for call in calls])

    def launch(self, sources: Sequence[DeviceTensor], targets: Sequence[DeviceTensor]) -> None:
        """Launch the algorithm that is selected, from a source of each rank to a target."""
        n_elem = min(sources[0].numel(), targets[0].numel())
        self.backend.run(
            self.algorithm,
            self.group.pes,
            sources,
            targets,
            n_elem=n_elem,
            op=self.op.value,
            root=self.root,
        )


class AllReduce(Algorithmic):
    """The reduction over all ranks, in place."""

    name = algorithm = "all_reduce"
    reduces = True


class Broadcast(Algorithmic):
    """The tensor of one rank, in place."""

    name = algorithm = "broadcast"
    root_is = "src"


class Reduce(Algorithmic):
    """The reduction over all ranks on one of them, in place."""

    name = algorithm = "reduce"
    reduces = True
    root_is = "dst"


class AllGatherSingle(Algorithmic):
    """Tensors are output and input: the inputs of all ranks, one behind the other."""

    name, algorithm = "all_gather_single", "all_gather"
    source = sized = 1

    def check(self, tensors: Tensors) -> None:
        """One dtype, and an output of as many elements as all inputs."""
        output, input_ = tensors
        if output.dtype is not input_.dtype:
            raise SizesError(
                f"output tensor must have the same type as input tensor: {torch_name(output.dtype)} and "
                f"{torch_name(input_.dtype)}"
            )
        if output.numel() != self.n * input_.numel():
            raise SizesError(
                f"output tensor size must be equal to world_size times input tensor size: {output.numel()} elements "
                f"are not {self.n} x {input_.numel()}"
            )


class ReduceScatterSingle(Algorithmic):
    """Tensors are output and input: the reduction of a part of the inputs of all ranks."""

    name, algorithm = "reduce_scatter_single", "reduce_scatter"
    source = 1
    reduces = True

    def check(self, tensors: Tensors) -> None:
        """One dtype, and an input of as many elements as all outputs."""
        output, input_ = tensors
        if output.dtype is not input_.dtype:
            raise SizesError(
                f"input tensor must be the same type as the output tensor: {torch_name(input_.dtype)} and "
                f"{torch_name(output.dtype)}"
            )
        if self.n * output.numel() != input_.numel():
            raise SizesError(
                f"input tensor must be the same size as output size times world size: {input_.numel()} elements "
                f"are not {output.numel()} x {self.n}"
            )

    def outputs(self, tensors: Tensors) -> None:
        """PyTorch says none."""


class AllToAllSingle(Algorithmic):
    """Tensors are output and input, in even parts of dimension 0."""

    name, algorithm = "all_to_all_single", "all_to_all"
    source = sized = 1

    def check(self, tensors: Tensors) -> None:
        """One dtype, even parts, and as many elements of both."""
        require_one_dtype(tensors)
        for tensor in tensors:
            _require_even(tensor, self.n)
        output, input_ = tensors
        if output.numel() != input_.numel():
            raise SizesError(
                f"all_to_all_single: output has {output.numel()} elements and input {input_.numel()}; without "
                "split sizes they are as many"
            )


class AllToAll(Collective):
    """Tensors are ``n_outputs`` outputs, one for each rank, then an input for each: each is a transfer of a pair."""

    name = "all_to_all"

    def __init__(self, backend: AhbmCCLBackend, group: Rendezvous, *, n_outputs: int) -> None:
        super().__init__(backend, group)
        self.n_outputs = n_outputs

    def call(self, tensors: Tensors, line: SourceLine) -> Call:
        """The call of a rank, whose sizes are a matter of each pair."""
        for kind, found in (("output", self.n_outputs), ("input", len(tensors) - self.n_outputs)):
            if found != self.n:
                raise BackendError(
                    f"{OURS}::alltoall: {kind} tensor list size {found} does not match world size {self.n}"
                )
        ends = tensors[: self.n], tensors[self.n :]
        return Call(name=self.name, agreed={"dtype": tensors[0].dtype}, tensors=tensors, own=ends, line=line)

    def run(self, calls: Sequence[Call]) -> None:
        """Move the s-th input of rank r to the r-th output of rank s, for all r and s."""
        ranks, pes, pairs = self.group.ranks, self.group.pes, []
        for r, sender in enumerate(calls):
            for s, receiver in enumerate(calls):
                source, target = sender.own[1][s], receiver.own[0][r]
                if source.numel() != target.numel():
                    raise BackendError(
                        f"{self.name}: rank {ranks[r]} sends {source.numel()} elements to rank {ranks[s]} "
                        f"({sender.line}), which expects {target.numel()} ({receiver.line}); give both the same size"
                    )
                pairs.append(Pair(pes[r], pes[s], source, target))
        self.backend.move(pairs)

    def outputs(self, tensors: Tensors) -> list[DeviceTensor]:
        """One of each rank."""
        return list(tensors[: self.n_outputs])


class AllToAllSplit(AllToAll):
    """Tensors are output and input, in parts of dimension 0 of the given extents: each is a transfer of a pair."""

    name = "all_to_all_single"

    def __init__(
        self, backend: AhbmCCLBackend, group: Rendezvous, *, splits: tuple[list[int], list[int]]
    ) -> None:
        super().__init__(backend, group, n_outputs=1)
        self.splits = splits

    def call(self, tensors: Tensors, line: SourceLine) -> Call:
        """The call of a rank, whose extents cover both."""
        require_one_dtype(tensors)
        ends = [_parts(x, sizes, self.n) for x, sizes in zip(tensors, self.splits, strict=True)]
        agreed = {"dtype": tensors[0].dtype, "splits": "given"}
        return Call(name=self.name, agreed=agreed, tensors=tensors, own=ends, line=line)


class Rooted(Collective):
    """A collective in which the root alone gives a list, with a tensor for each rank: each is a transfer."""

    kind: ClassVar[str]  # of what is in the list

    def check(self, tensors: Tensors) -> None:
        """Of the root, a list of as many tensors as ranks, each like the first."""
        like, *listed = tensors
        if listed and len(listed) != self.n:
            raise BackendError(
                f"{OURS}::{self.name}: Incorrect {self.kind} list size {len(listed)}. {self.kind.capitalize()} list "
                f"size should be {self.n}, same as size of the process group."
            )
        _require_shapes(self.name, listed, like)

    def run(self, calls: Sequence[Call]) -> None:
        """Move what each rank gives to the root's tensor for it, or the other way."""
        root, listed = self.group.pes[self.root], calls[self.root].tensors[1:]
        given = zip(self.group.pes, calls, listed, strict=True)
        self.backend.move([self.pair(root, pe, its, call.tensors[0]) for pe, call, its in given])

    @abstractmethod
    def pair(self, root: int, pe: int, its: DeviceTensor, tensor: DeviceTensor) -> Pair:
        """The transfer between the root's tensor for a PE, ``its``, and that of the rank there."""


class Gather(Rooted):
    """Tensors are the input, and of the root an output for each rank."""

    name, kind, root_is = "gather", "output", "dst"

    def pair(self, root: int, pe: int, its: DeviceTensor, tensor: DeviceTensor) -> Pair:
        """To the root."""
        return Pair(pe, root, tensor, its)

    def outputs(self, tensors: Tensors) -> list[DeviceTensor]:
        """The root's list."""
        return list(tensors[1:])


class Scatter(Rooted):
    """Tensors are the output, and of the root an input for each rank."""

    name, kind, root_is = "scatter", "input", "src"

    def pair(self, root: int, pe: int, its: DeviceTensor, tensor: DeviceTensor) -> Pair:
        """From the root."""
        return Pair(root, pe, its, tensor)


class Staged(Algorithmic):
    """A collective of a list with a tensor for each rank, which one algorithm does in one piece: it is copied.

    ``listed`` are those of a rank's tensors that are the list.
    """

    listed: ClassVar[slice]

    def staged(
        self, calls: Sequence[Call]
    ) -> tuple[list[DeviceTensor], list[tuple[int, DeviceTensor, DeviceTensor]]]:
        """A tensor of one piece on each rank's PE; and each tensor of its list, with its part of the piece."""
        like = calls[0].tensors[self.sized]
        n_elem, pes = like.numel(), self.group.pes
        staged = [self.backend.staging(pe, self.n * n_elem, like) for pe in pes]
        return staged, [
            (pe, tensor, whole.narrow(0, r * n_elem, n_elem))
            for pe, whole, call in zip(pes, staged, calls, strict=True)
            for r, tensor in enumerate(call.tensors[self.listed])
        ]


class AllGather(Staged):
    """Tensors are an output for each rank, and the input: gathered in one piece, then copied."""

    name = algorithm = "all_gather"
    listed, sized = slice(0, -1), -1

    def check(self, tensors: Tensors) -> None:
        """One dtype, and an output like the input for each rank."""
        *outputs, input_ = tensors
        require_one_dtype(tensors)
        _require_list("allgather", "output", outputs, input_, self.n)

    def run(self, calls: Sequence[Call]) -> None:
        """Gather, then copy each part."""
        staged, parts = self.staged(calls)
        self.launch([call.tensors[-1] for call in calls], staged)
        self.backend.move([Pair(pe, pe, part, output) for pe, output, part in parts])

    def outputs(self, tensors: Tensors) -> list[DeviceTensor]:
        """One of each rank."""
        return list(tensors[:-1])


class ReduceScatter(Staged):
    """Tensors are the output, and an input for each rank: copied to one piece, then reduced and scattered."""

    name = algorithm = "reduce_scatter"
    listed = slice(1, None)
    reduces = True

    def check(self, tensors: Tensors) -> None:
        """One dtype, and an input like the output for each rank."""
        output, *inputs = tensors
        require_one_dtype(tensors)
        _require_list("reduce_scatter", "input", inputs, output, self.n)

    def run(self, calls: Sequence[Call]) -> None:
        """Copy each part, then reduce and scatter."""
        staged, parts = self.staged(calls)
        self.backend.move([Pair(pe, pe, input_, part) for pe, input_, part in parts])
        self.launch(staged, [call.tensors[0] for call in calls])

    def outputs(self, tensors: Tensors) -> None:
        """PyTorch says none."""


class Barrier(Collective):
    """No tensors."""

    name = "barrier"

    def agreed(self, tensors: Tensors) -> dict[str, object]:
        """Nothing but the name."""
        return {}

    def run(self, calls: Sequence[Call]) -> None:
        """Launch the algorithm."""
        self.backend.run("barrier", self.group.pes, (), (), n_elem=0)


class MonitoredBarrier(Barrier):
    """A barrier by another name."""

    name = "monitored_barrier"


def _require_list(name: str, kind: str, tensors: Sequence[DeviceTensor], like: DeviceTensor, n: int) -> None:
    """Refuse a list that is no tensor like ``like`` for each of ``n`` ranks."""
    if len(tensors) != n:
        raise BackendError(
            f"{OURS}::{name}: invalid {kind} tensor list at index 0 (expected length {n}, got {len(tensors)})"
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


def _require_even(tensor: DeviceTensor, n: int) -> int:
    """The extent of dimension 0, if it divides by ``n``."""
    extent = tensor.shape[0] if tensor.shape else 1
    if extent % n:
        raise SizesError(
            f"Tensor's dim 0 does not divide equally across group size: {list(tensor.shape)} over {n} ranks"
        )
    return extent


def _parts(tensor: DeviceTensor, sizes: list[int], n: int) -> list[DeviceTensor]:
    """The parts of dimension 0 of the given extents, one for each of ``n`` ranks; even ones, if none are given."""
    extent = tensor.shape[0] if tensor.shape else 1
    sizes = sizes or [_require_even(tensor, n) // n] * n
    if len(sizes) != n:
        raise SizesError("Number of tensor splits not equal to group size")
    if sum(sizes) != extent:
        raise SizesError("Split sizes doesn't match total dim 0 size")
    flat, row_elems = tensor.view(-1), tensor.numel() // extent if extent else 0
    bounds = accumulate((size * row_elems for size in sizes), initial=0)
    return [flat.narrow(0, first, end - first) for first, end in pairwise(bounds)]
