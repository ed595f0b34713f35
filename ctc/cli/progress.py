"""What `ctc run` tells while it goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from ctc.cli.common import use_color

if TYPE_CHECKING:
    from ctc.language.spec import Spec
    from ctc.run.records import Cycle, Record

_COLORS = {"promoted": "green", "held": "yellow", "stopped": "yellow", "failed": "red", "lost": "red"}


class Console:
    """Tells a run on stderr. It writes to a descriptor of its own: the steps' output has the usual ones meanwhile."""

    def __init__(self, spec: Spec, verbose: bool) -> None:
        from ctc.run.records import focus

        self._spec = spec
        self._focus = focus(spec)
        self._verbose = verbose
        self._transient = False
        self._last = self._serving = ""

    def __enter__(self) -> Console:
        self._out = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace")
        self._live = self._out.isatty() and not self._verbose and os.environ.get("TERM") != "dumb"
        self._color = use_color(self._out.isatty())
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        self._out.close()

    def instant(self, instant: datetime) -> None:
        self._say(click.style(f"{instant:%Y-%m-%d %H:%M:%S} UTC".replace(":00 UTC", " UTC"), bold=True))
        self._woken = False

    def woke(self, records: Sequence[Record], said: str) -> None:
        from ctc.policy.changes import sentence
        from ctc.run.records import mappings
        from ctc.steps.results import BETWEEN

        first, self._woken = not self._woken, True
        for record in records:
            if record["kind"] in ("attempt", "score"):
                self._line(str(record.get("outcome")), str(record.get("reason")))
                continue
            fired = [answer for answer in mappings(record, "triggers") if answer.get("answer") == "fired"]
            for answer in fired:
                self._line("fired", f"{answer.get('name')}: {answer.get('reason')}")
            suppressed = record.get("suppressed")
            if suppressed:
                self._line("suppressed", f"by {suppressed.get('by')}: {suppressed.get('reason')}", "yellow")
            for answer in mappings(record, "health"):
                given = str(answer.get("answer")).replace("_", " ")
                self._line("rollout", f"{answer.get('name')} {given}: {answer.get('reason')}")
            for change in mappings(record, "changes"):
                self._line("changed", sentence(change), "green")
            for action in mappings(record, "actions"):
                if action.get("action") == "start_training" and action.get("launch", 1) > 1:
                    self._line("again", f"the attempt ended without a record: start {action['launch']}")
        if first and not records:
            for part in (said or "no trigger fired").split(BETWEEN):
                self._line("quiet", part.replace(" quiet: ", ": ", 1))

    def training(self, attempt: str) -> None:
        self._line("attempt", attempt)
        self._last = self._serving = ""

    def scoring(self, job: str, serving: str) -> None:
        self._line("job", f"{job} of {serving}")
        self._last, self._serving = "", serving

    def step_ended(self, step: str, status: str, seconds: float) -> None:
        self._last = step
        self._line("step", f"{step:18}{seconds:7.1f} s" + ("" if status == "ok" else f"  {status}"))

    def waiting(self, seconds: float) -> None:
        if self._live:
            self._out.write(f"\r\x1b[K  {'':10} {self._under_way()} … {seconds:.0f} s")
            self._out.flush()
            self._transient = True

    def trained(self, record: Record | None, seconds: float) -> None:
        from ctc.run.records import Cycle

        if record is None:
            self._line("lost", f"it left no record after {seconds:.1f} s", "red")
            return
        cycle = Cycle(str(record["instant"]), None, record)
        self._tell_data(cycle)
        self._tell_verdict(cycle)
        self._line(cycle.outcome, cycle.reason, _COLORS.get(cycle.outcome))

    def _tell_data(self, cycle: Cycle) -> None:
        from ctc.run.text import check_answer, check_passed

        if cycle.rows:
            self._line("rows", ", ".join(f"{name} {count:,}" for name, count in cycle.rows.items()))
        if cycle.checks:
            passed = sum(check_passed(check) for check in cycle.checks)
            self._line("checks", f"{passed} of {len(cycle.checks)} pass")
        for check in cycle.checks:
            if not check_passed(check):
                self._line("", f"{check.get('name')}: {check_answer(check)}: {check.get('reason', '')}", "yellow")

    def _tell_verdict(self, cycle: Cycle) -> None:
        from ctc.run.text import estimate

        metric = self._focus.metric
        contender, champion = cycle.estimate(metric, "contender"), cycle.estimate(metric, "champion")
        if contender is not None:
            against = "no champion" if champion is None else f"champion {estimate(champion)}"
            self._line(metric, f"contender {estimate(contender)}, {against}")
        for gate in cycle.gates:
            color = {"pass": "green", "fail": "red"}.get(str(gate.get("answer")))
            self._line("gate", f"{gate.get('name')} {gate.get('answer')}: {gate.get('reason', '')}", color)

    def _under_way(self) -> str:
        """The step that is told from the one that ended last."""
        from ctc.compiler.scoring import users_steps
        from ctc.steps.record_job import STEPS
        from ctc.steps.results import steps

        known = (*(STEPS if self._serving else steps(users_steps(self._spec))), "record")
        return known[min(known.index(self._last) + 1, len(known) - 1)] if self._last in known else known[0]

    def _line(self, label: str, text: str, color: str | None = None) -> None:
        self._say(f"  {click.style(f'{label:10}', fg=color, dim=color is None)} {text}")

    def _say(self, text: str) -> None:
        self._clear()
        self._out.write((text if self._color else click.unstyle(text)) + "\n")
        self._out.flush()

    def _clear(self) -> None:
        if self._transient:
            self._out.write("\r\x1b[K")
            self._transient = False
