"""PE_FETCH_STORE: between TCM and the register file."""

from __future__ import annotations

from collections.abc import Iterator

from kernbench.components.advice import ADD_IN_ARRAY, FUSE
from kernbench.components.base import COMPONENTS, Site
from kernbench.components.pipeline import TcmUnit
from kernbench.components.ports import FetchStorePort
from kernbench.config.pe import FetchStoreSpec
from kernbench.engine.api import Inlet, ProcessBody, Queue
from kernbench.kinds import Cause, Kind, Op
from kernbench.messages.oplog import DMA_READ, FETCH, NO_CAUSE, STORE, OpCode, Row
from kernbench.messages.tokens import TileToken
from kernbench.units import gbps, transfer_ps

OPERAND_HALVES = 2  # one is computed on while the other is filled: what "double buffer" means


_FETCH = Op(
    OpCode.FETCH,
    Cause(
        "fetch",
        "TCM to register file",
        cures={
            **ADD_IN_ARRAY,
            "pe_gemm": "use larger m and n that fit pe.regfile.accumulators, or a narrower dtype",
            "pe_math": FUSE,
        },
    ),
)
_STORE = Op(
    OpCode.STORE,
    Cause(
        "store",
        "register file to TCM",
        cures={
            **ADD_IN_ARRAY,
            "dot": "use m and n that fit pe.regfile.accumulators",
            "pe_gemm": "store a narrower dtype, or use smaller blocks so that one is stored while the next is "
            "computed",
            "pe_math": FUSE,
        },
    ),
)


class PeFetchStore(TcmUnit):
    """Moves one tile at a time, in the order they are ready.

    A fetch is ready when a half of the operand registers is free for it; it keeps that until its tile is computed.
    A store is ready at once, and never refused: so computing units always drain. A transfer takes ``setup``, TCM's
    time, the register file's latency, and what the slower of its own path and the register port lags behind TCM
    (cut-through). With no bytes to move, only ``setup``.
    """

    kind = Kind(
        "pe_fetch_store",
        FetchStoreSpec,
        part="fetch_store",
        gives_to=("pe_tcm", "pe_gemm", "pe_math", "pe_dma", "pe_ipcq", "pe_scheduler"),
        stages=(_FETCH, _STORE),
        role="move",
        place=(0.60, 0.88),
        figures=lambda spec, pe: (gbps(spec.rate), f"set-up {spec.setup_ps / 1000:g} ns"),
    ).declare()

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: FetchStoreSpec = site.node.spec
        self.operands = site.engine.credits(OPERAND_HALVES, f"{site.node.name}.operands")
        self.ready: Queue[TileToken] = site.engine.queue(None, f"{site.node.name}.ready")
        self.freed_by = NO_CAUSE
        self._setup_ps: int = self.params.setup_ps
        self._latency_ps: int = site.pe_spec.regfile.latency_ps
        self._read_lags_ps: dict[int, int] = {}  # by bytes: most tiles have the same
        self._write_lags_ps: dict[int, int] = {}

    def entry(self, token: TileToken) -> Inlet[TileToken]:
        """Fetches wait for registers first, stores do not."""
        return self.inbox if token.stage.kind is FETCH else self.ready

    def free_operands(self, record: Row) -> None:
        """A computing unit has used a half of the operand registers, as ``record`` says."""
        self.freed_by = record
        self.operands.give(1)

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """What admits fetches, and what moves data."""
        yield "admit", self.admit()
        yield "move", self.move()

    def admit(self) -> ProcessBody:
        """Take a fetch, wait for registers, make it ready."""
        while True:
            token: TileToken = yield self.inbox.get()
            token.asked_ps = token.arrived_ps
            if not self.operands.try_take(1):
                asked_ps = self.engine.now_ps
                yield self.operands.take(1)
                if self.engine.now_ps > asked_ps:
                    token.cause, token.arrived_ps = self.freed_by, self.engine.now_ps
            self.ready.put(token)

    def move(self) -> ProcessBody:
        """Take, move, pass on."""
        while True:
            token: TileToken = yield self.ready.get()
            is_fetch, busy_ps = token.stage.kind is FETCH, self._begin(token)
            yield busy_ps
            is_passed_on = self._end(token, busy_ps)
            record = self.station.last_record
            if not is_passed_on:
                yield from self.pass_on_late(token, self.station, record)
            if is_fetch:
                self.free_staging(token, DMA_READ, record)

    def _begin(self, token: TileToken) -> int:
        """Begin to move a tile; the time that takes."""
        now_ps = self.engine.now_ps
        is_fetch = token.stage.kind is FETCH
        self.station.begin(now_ps, token.asked_ps if is_fetch else now_ps, "registers")
        return self.busy_ps(token)

    def _end(self, token: TileToken, busy_ps: int) -> bool:
        """The tile that took ``busy_ps`` has moved: log it, and pass it on if there is a place."""
        self.meter.busy_ps += busy_ps
        record = self.log_stage(token, self.station, self.engine.now_ps - busy_ps)
        return self.try_pass_on(token, record)

    def busy_ps(self, token: TileToken) -> int:
        """Time the transfer of the tile takes; reserves TCM's port for it."""
        stage, setup_ps, latency_ps = token.stage, self._setup_ps, self._latency_ps
        if not stage.size_bytes:
            return setup_ps
        is_write = stage.kind is STORE
        start_ps = self.engine.now_ps + setup_ps + (latency_ps if is_write else 0)
        access = self.pe_tcm.write if is_write else self.pe_tcm.read
        tcm_ps = access(stage.size_bytes, start_ps, start_ps) - start_ps
        lags_ps = self._write_lags_ps if is_write else self._read_lags_ps
        lag_ps = lags_ps.get(stage.size_bytes)
        if lag_ps is None:
            lag_ps = lags_ps[stage.size_bytes] = self._lag_ps(stage.size_bytes, is_write)
        return setup_ps + tcm_ps + lag_ps + latency_ps

    def _lag_ps(self, size_bytes: int, is_write: bool) -> int:
        """How much longer the own path or the register port takes than TCM's port."""
        tcm, file = self.site.pe_spec.tcm, self.site.pe_spec.regfile
        port, registers = (tcm.write_rate, file.read_rate) if is_write else (tcm.read_rate, file.write_rate)
        own_ps = max(transfer_ps(size_bytes, self.params.rate), transfer_ps(size_bytes, registers))
        return max(0, own_ps - transfer_ps(size_bytes, port))


COMPONENTS.register("pe_fetch_store_v1")(PeFetchStore)
_: type[FetchStorePort] = PeFetchStore  # mypy: it has the face that its neighbours see
