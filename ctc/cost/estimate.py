"""What one spec costs in one environment on one target: by line, a run, a month; low, expected and worst.

Left out, and said so in every estimate: network traffic, requests to stores, logs, image registries, schedulers, tax,
discounts, and the idle time of machines around a job. What is not known is told as lacking, never as 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ctc.compiler.hire import Hire, Hiring
from ctc.compiler.ir import Branch, Pipeline, Server, Step, System
from ctc.compiler.lower import lower
from ctc.cost.amounts import NOTHING, Range, always, exactly, sum_of, unknown
from ctc.cost.book import ANYWHERE, Book, Price
from ctc.cost.durations import Recorded, time_of
from ctc.cost.expected import HOURS_A_MONTH, Counts, counts_of
from ctc.cost.rates import Rates
from ctc.language.spec import Spec
from ctc.value import Value, frozen

LEFT_OUT = ("left out: network, requests to stores, logs, image registries, schedulers, tax, discounts, idle machines",)

_GB = 1e9
_ROLLING = 3
"""Versions that a rollout may keep ready at once: the champion, the candidate, the former champion."""

_WHOLE = always(exactly(1))


@frozen
class Line(Value):
    """One thing that costs: a step of a pipeline, a fee of its runs, a server, what is stored.

    `kind` is that of the pipeline (`train`, `wake`, `score-NAME`), or `server` or `storage`. `hours` are those of one
    occurrence, on each machine; `each` is what one costs, `month` what they cost in a month. `hours` and `each` are
    None of what has no occurrences.
    """

    kind: str
    name: str
    path: str
    hired: str
    month: Range
    basis: str
    hours: Range | None = None
    each: Range | None = None


@frozen
class Estimate(Value):
    """`run` is a training run, `runs_month` what such runs cost in a month, `month` everything. All in `currency`."""

    name: str
    environment: str
    target: str
    region: str
    currency: str
    counts: Counts
    lines: tuple[Line, ...]
    run: Range
    runs_month: Range
    month: Range
    prices: tuple[Price, ...]
    notes: tuple[str, ...]


def estimate(
    spec: Spec, target: str, book: Book, recorded: Recorded | None = None, region: str | None = None
) -> Estimate:
    """Pure. `region` stands in for the one that the spec names, or does not."""
    from ctc.targets import load_hiring

    system, hiring = lower(spec, target), load_hiring(target)
    maker = _Estimating(spec, system, hiring, book, recorded or Recorded(), region)
    return maker.made()


def targets_of(spec: Spec) -> tuple[str, ...]:
    """Those of a spec's targets that this version compiles for, in its order."""
    from ctc.targets import NAMES

    return tuple(name for name in spec.targets if name in NAMES)


class _Estimating:
    def __init__(
        self, spec: Spec, system: System, hiring: Hiring, book: Book, recorded: Recorded, region: str | None
    ) -> None:
        self.spec = spec
        self.system = system
        self.hiring = hiring
        self.recorded = recorded
        self.book = book
        self.region = hiring.region(system) if region is None else region
        self.rates = Rates(book, system.target, self.region)
        self.counts = counts_of(spec, system, recorded)

    def made(self) -> Estimate:
        pipelines = {"wake": self.counts.wakes, "train": self.counts.runs, **self.counts.jobs}
        found = [
            line
            for pipeline in self.system.pipelines
            for line in self._pipeline(pipeline, pipelines.get(pipeline.kind, always(NOTHING)))
        ]
        lines = (*found, *map(self._server, self.system.servers), self._storage())
        training = tuple(line for line in lines if line.kind == "train")
        return Estimate(
            name=self.spec.model_name,
            environment=self.spec.environment,
            target=self.system.target,
            region=self.region,
            currency=self.book.currency,
            counts=self.counts,
            lines=lines,
            run=sum_of(line.each for line in training if line.each is not None),
            runs_month=sum_of(line.month for line in training),
            month=sum_of(line.month for line in lines),
            prices=self.rates.used,
            notes=(*self.counts.notes, *self._notes(), *LEFT_OUT),
        )

    def _pipeline(self, pipeline: Pipeline, count: Range) -> Iterator[Line]:
        certain = {step.name for step in _certain(pipeline)}
        for step in pipeline.steps():
            yield self._step(pipeline, step, count, surely=step.name in certain)
        for fee in self.hiring.FEES:
            each = always(self.rates.of(fee))
            yield Line(
                pipeline.kind, fee, pipeline.origin, "", each.times(count), "each run of the pipeline", None, each
            )

    def _step(self, pipeline: Pipeline, step: Step, count: Range, *, surely: bool) -> Line:
        hire = self.hiring.step(self.system, step)
        time = time_of(self.spec, pipeline, step, hire, self.recorded)
        # A check may end a run before the steps in its branch.
        hours = time.hours if surely else Range(NOTHING, time.hours.expected, time.hours.worst)
        rate = self._rate(hire)
        # Runs do not overlap, so that a step of theirs is never on for longer than the month.
        longest = count.worst.times(hours.worst)
        if pipeline.kind == "train":
            longest = longest.at_most(exactly(HOURS_A_MONTH))
        monthly = Range(count.low.times(hours.low), count.expected.times(hours.expected), longest)
        return Line(
            kind=pipeline.kind,
            name=step.name,
            path=step.origin,
            hired=str(hire) + (" spot" if hire.spot else ""),
            month=monthly.times(rate),
            basis=time.basis,
            hours=hours,
            each=hours.times(rate),
        )

    def _rate(self, hire: Hire) -> Range:
        """At worst no spare capacity is cheaper than the usual one."""
        usual = self.rates.hour(hire)
        if not hire.spot:
            return always(usual)
        spare = self.rates.hour(hire, spot=True)
        return Range(spare, spare, usual)

    def _server(self, server: Server) -> Line:
        """The fleet of the champion; at worst as many machines as it may have, of each version that is kept ready."""
        hire = self.hiring.server(self.system, server)
        rolled = self.spec.rollout is not None and self.system.rollout is not None
        fleets = _ROLLING if rolled and self.system.rollout and self.system.rollout.serving == server.name else 1
        most = max(server.most or server.count, server.count)
        machines = Range(exactly(server.count), exactly(server.count), exactly(most * fleets))
        beside = f"; at worst {most} of each of {fleets} versions" if most * fleets != server.count else ""
        month = machines.times(always(exactly(HOURS_A_MONTH))).times(always(self.rates.hour(hire)))
        basis = f"{server.count} at all hours, at the price of training{beside}"
        return Line("server", server.name, f"serving.{server.name}", str(hire), month, basis)

    def _storage(self) -> Line:
        kept = None if self.spec.cost is None else self.spec.cost.storage
        size = unknown("how much is stored (cost.storage)") if kept is None else exactly(kept / _GB)
        month = always(size.times(self.rates.of("storage")).times(exactly(HOURS_A_MONTH)))
        basis = "not stated" if kept is None else f"{kept / _GB:.4g} GB, stated as cost.storage"
        return Line("storage", "object store", "cost.storage", "", month, basis)

    def _notes(self) -> Iterator[str]:
        if any(step.spot is not None for step in self.system.train.steps()):
            yield "spot: at worst the usual price; waiting for capacity is not paid, work done again is"
        known = self.book.regions(self.system.target)
        if known and self.region not in ("", ANYWHERE, *known):
            yield f"the prices are of {', '.join(known)}: none is of {self.region}"
        yield "a run, low: its first check ends it; expected and worst: every step runs"
        if self.system.servers:
            yield "servers: a champion serves all month"
        if self.counts.jobs:
            yield "batch jobs: a champion scores all month"


def _certain(pipeline: Pipeline) -> Iterator[Step]:
    """The steps that run whatever the others find."""
    for node in pipeline.body:
        if not isinstance(node, Branch):
            yield node
    if pipeline.on_exit is not None:
        yield pipeline.on_exit


def by_target(
    spec: Spec, book: Book, recorded: Mapping[str, Recorded] | None = None, regions: Mapping[str, str] | None = None
) -> tuple[Estimate, ...]:
    """One estimate for each of the spec's targets, in its order."""
    return tuple(
        estimate(spec, name, book, (recorded or {}).get(name), (regions or {}).get(name)) for name in targets_of(spec)
    )
