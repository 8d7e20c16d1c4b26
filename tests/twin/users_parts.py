"""Parts of a machine as a user writes them, in Python, against what the components promise each other.

Each does what the part does that it takes the place of; so it must give the same log.
"""

from fractions import Fraction

from kernbench.components.base import COMPONENTS, Component
from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.components.memory_model import HBM_MODELS
from kernbench.components.pipeline import ComputeUnit, TcmUnit
from kernbench.messages.fabric import PacketKind, Vc
from kernbench.messages.oplog import NO_CAUSE, OpCode
from kernbench.units import cycles_ps, transfer_ps


@COMPONENTS.register("users_gemm")
class UsersGemm(ComputeUnit):
    """A matrix array with a loop of its own."""

    kind = "pe_gemm"

    def processes(self):
        """One."""
        yield "array", self.work()

    def work(self):
        """Tile by tile."""
        spec, station = self.node.spec, self.station
        while True:
            token = yield self.inbox.get()
            begun_ps = self.engine.now_ps
            is_dry = station.last_record is NO_CAUSE or begun_ps > station.free_ps
            station.begin(begun_ps)
            cycles = spec.fill_cycles if is_dry else 0
            macs = 1
            for extent, side in (
                (token.plan.m, spec.m),
                (token.plan.n, spec.n),
                (token.plan.k, spec.k),
            ):
                macs *= (extent + side - 1) // side * side
            rate = macs_per_cycle(token.context.command.a.dtype, spec)
            spent_ps = cycles_ps(cycles + (macs + rate - 1) // rate, self.site.pe_spec.clock_mhz)
            yield spent_ps
            self.meter.busy_ps += spent_ps
            frees = not token.stage.is_followed
            record = self.log_stage(token, station, begun_ps)
            if frees:
                self.pe_fetch_store.free_operands(record)
            if not self.try_pass_on(token, record):
                yield from self.pass_on_late(token, station, record)


@COMPONENTS.register("users_fetch_store")
class UsersFetchStore(TcmUnit):
    """Between TCM and registers: two halves of operands, one transfer at a time."""

    kind = "pe_fetch_store"

    def __init__(self, site):
        super().__init__(site)
        self.halves = site.engine.credits(2, "halves")
        self.work = site.engine.queue(None, "work")
        self.freed_by = NO_CAUSE

    def entry(self, token):
        """Stores never wait for registers."""
        return self.inbox if token.stage.kind is OpCode.FETCH else self.work

    def free_operands(self, record):
        """A half is free."""
        self.freed_by = record
        self.halves.give(1)

    def processes(self):
        """What waits for registers, and what moves."""
        yield "wait", self.wait()
        yield "move", self.move()

    def wait(self):
        """A half of the registers for each fetch."""
        while True:
            token = yield self.inbox.get()
            came_ps = self.engine.now_ps
            yield self.halves.take(1)
            token.asked_ps = token.arrived_ps
            if self.engine.now_ps != came_ps:
                token.arrived_ps = self.engine.now_ps
                token.cause = self.freed_by
            yield self.work.put(token)

    def move(self):
        """One after another."""
        while True:
            token = yield self.work.get()
            begun_ps = self.engine.now_ps
            fetches = token.stage.kind is OpCode.FETCH
            self.station.begin(begun_ps, token.asked_ps if fetches else begun_ps, "registers")
            spent_ps = self.takes_ps(token.stage.size_bytes, fetches, begun_ps)
            yield spent_ps
            self.meter.busy_ps += spent_ps
            record = self.log_stage(token, self.station, begun_ps)
            if not self.try_pass_on(token, record):
                yield from self.pass_on_late(token, self.station, record)
            if fetches:
                self.free_staging(token, OpCode.DMA_READ, record)

    def takes_ps(self, size_bytes, fetches, now_ps):
        """TCM, and what the slowest of the rest lags behind it."""
        own, pe = self.node.spec, self.site.pe_spec
        if size_bytes == 0:
            return own.setup_ps
        latency_ps = pe.regfile.latency_ps
        if fetches:
            from_ps = now_ps + own.setup_ps
            there_ps = self.pe_tcm.read(size_bytes, from_ps, from_ps)
            rates = (pe.tcm.read_rate, own.rate, pe.regfile.write_rate)
        else:
            from_ps = now_ps + own.setup_ps + latency_ps
            there_ps = self.pe_tcm.write(size_bytes, from_ps, from_ps)
            rates = (pe.tcm.write_rate, own.rate, pe.regfile.read_rate)
        port_ps, *others_ps = (transfer_ps(size_bytes, rate) for rate in rates)
        return (
            own.setup_ps + there_ps - from_ps + max(0, *(other - port_ps for other in others_ps)) + latency_ps
        )


@HBM_MODELS.register("users_hbm")
class UsersHbm:
    """A latency and a rate, in fractions."""

    def __init__(self, spec):
        self.latency_ps = spec.flat_latency_ps
        rate = spec.channel_rate.scaled(spec.flat_eff)
        self.ps_per_byte = 1000 / rate.fraction
        self.free = Fraction(0)

    def serve(self, transaction, head_ps, tail_ps, size_bytes):
        """As soon as may be, but no faster than the bytes come."""
        spent = size_bytes * self.ps_per_byte
        start = max(self.free, Fraction(head_ps), Fraction(tail_ps - spent // 1))
        self.free = start + spent
        return -(-start // 1), -(-self.free // 1)


@COMPONENTS.register("users_controller")
class UsersController(Component):
    """An end point of the fabric: so many requests at a time, in the order they come."""

    kind = "hbm_ctrl"
    sinks = frozenset()

    def __init__(self, site):
        super().__init__(site)
        self.model = HBM_MODELS[site.node.spec.model](site.node.spec)
        self.n_left = site.node.spec.queue
        self.refuses = False
        self.n_bytes = 0

    @property
    def moved_bytes(self):
        """Payload."""
        return self.n_bytes

    def meters(self):
        """The only one."""
        yield "", self.meter

    def receive(self, chunk):
        """Read, or write the next chunk, if there is an entry."""
        if not self.n_left:
            self.refuses = True
            return False
        self.n_left -= 1
        job, now_ps = chunk.body, self.engine.now_ps
        if chunk.kind == PacketKind.READ_REQUEST:
            job.arrived_ps = now_ps
            self.read(job, now_ps)
        else:
            if job.arrived_ps < 0:
                job.arrived_ps = chunk.ready_ps
            self.write(job, chunk, now_ps)
        return True

    def occupy(self, job, head_ps, tail_ps, done, size):
        """The share of the bursts that ``size`` of payload needs."""
        total = job.burst_bytes
        share = total * (done + size) // job.size_bytes - total * done // job.size_bytes
        start_ps, end_ps = self.model.serve(job, head_ps, tail_ps, share)
        if job.started_ps < 0:
            job.started_ps = start_ps
        self.meter.busy_ps += end_ps - start_ps
        self.n_bytes += size
        return start_ps, end_ps

    def read(self, job, now_ps):
        """All chunks of the answer; the entry is free when the last one leaves."""
        answer = self.fabric.packet(PacketKind.READ_RESPONSE, job, job.size_bytes)
        answer[-1].leaving = self.release
        done = 0
        for chunk in answer:
            start_ps, end_ps = self.occupy(job, now_ps, now_ps, done, chunk.payload_bytes)
            done += chunk.payload_bytes
            ready_ps = end_ps + self.model.latency_ps
            self.fabric.post(chunk, self.node.index, job.requester, Vc.RESP, ready_ps, end_ps - start_ps)
        job.served_ps = ready_ps

    def write(self, job, chunk, now_ps):
        """One chunk; behind the last one, the acknowledgement."""
        done = job.size_bytes - job.left_bytes
        _, end_ps = self.occupy(job, chunk.ready_ps, now_ps, done, chunk.payload_bytes)
        job.left_bytes -= chunk.payload_bytes
        self.engine.at(end_ps, self.rank, self.release, chunk)
        if not job.left_bytes:
            job.served_ps = end_ps + self.model.latency_ps
            self.engine.at(job.served_ps, self.rank, self.acknowledge, job)

    def acknowledge(self, job):
        """It is in memory."""
        if job.landed is not None:
            job.landed(job)
        for chunk in self.fabric.packet(PacketKind.WRITE_ACK, job, 0):
            self.fabric.post(chunk, self.node.index, job.requester, Vc.RESP, self.engine.now_ps, 0)

    def release(self, _):
        """An entry is free."""
        self.n_left += 1
        if self.refuses:
            self.refuses = False
            self.fabric.resume(self.node.index)


@COMPONENTS.register("users_router")
class UsersRouter(Component):
    """What chunks pass through, in the time that the specification says."""

    kind = "router"

    @property
    def pass_ps(self):
        """The time through it."""
        return self.node.latency_ps
