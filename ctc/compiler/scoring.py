"""What is measured of a model beside its predictions: how fast its server answers, and columns that a command adds."""

from __future__ import annotations

from datetime import timedelta

from ctc.compiler.ir import Ref, Runs, Step
from ctc.compiler.machines import resources
from ctc.compiler.training import plain
from ctc.language.requests import RATE, requests
from ctc.language.spec import Gate, Score, Secret, Spec
from ctc.language.spec.serving import Online, Serving
from ctc.value import Value, frozen

WARM_UP = 20
"""Requests before those that count: a server loads and compiles at its first ones."""

LEAST_PATIENCE, PATIENCE = 10.0, 2.0
"""Seconds that a request is waited for at least, and how many times the slowest answer that a gate allows."""

START = timedelta(minutes=10)
"""What a measuring step may take beside its requests: the server's start, which the probe gives up after 5 minutes."""


@frozen
class Measurement(Value):
    """One server under one rate (requests a second), for all gates that ask so; `output` is its input of `evaluate`."""

    step: str
    output: str
    serving: Serving
    online: Online
    rate: float
    gates: tuple[Gate, ...]

    @property
    def timeout(self) -> float:
        """Seconds that one request is waited for."""
        limits = [limit for gate in self.gates for limit in (gate.p50, gate.p99) if limit is not None]
        return max(LEAST_PATIENCE, PATIENCE * max(limits, default=0.0))


def measurements(spec: Spec) -> tuple[Measurement, ...]:
    """What the latency gates need, in their order; a gate without its server has been refused by then."""
    asked: dict[tuple[str, float], list[Gate]] = {}
    servers = {entry.name: entry for entry in spec.serving if entry.online is not None}
    for gate in spec.promotion.gates:
        name = gate.serving or next(iter(servers), "")
        if gate.kind == "latency" and name in servers:
            asked.setdefault((name, gate.rate or RATE), []).append(gate)
    found = []
    for number, ((name, rate), gates) in enumerate(asked.items(), start=1):
        online = servers[name].online
        assert online is not None
        ending = "" if number == 1 else f"-{number}"
        output = f"timings{ending}".replace("-", "_")
        found.append(Measurement(f"measure-latency{ending}", output, servers[name], online, rate, tuple(gates)))
    return tuple(found)


def measured_by(spec: Spec) -> dict[str, Measurement]:
    """The measurement of each latency gate, by the gate's name."""
    return {gate.name: measurement for measurement in measurements(spec) for gate in measurement.gates}


def measuring_step(measurement: Measurement) -> Step:
    """Starts the contender's server, and asks it."""
    online = measurement.online
    count = requests(measurement.rate)
    lasts = timedelta(seconds=(count + WARM_UP) / measurement.rate + 2 * measurement.timeout)
    return Step(
        name=measurement.step,
        runs=Runs.USER,
        image=online.image,
        origin=f"promotion.gates.{measurement.gates[0].name}",
        argv=online.argv,
        inputs=(("model", Ref("train", "model")), ("requests", Ref("snapshot", "requests"))),
        outputs=("timings",),
        resources=resources(measurement.serving.resources),
        timeout=START + lasts,
        program="probe",
        options=(
            ("port", str(online.port)),
            ("health", online.health),
            ("route", online.route),
            ("rate", f"{measurement.rate:.12g}"),
            ("requests", str(count)),
            ("warm_up", str(WARM_UP)),
            ("timeout", f"{measurement.timeout:g}"),
        ),
    )


def score_step(spec: Spec, score: Score, model: str) -> Step:
    """The command that adds columns to the judged rows of one model, `contender` or `champion`."""
    training = spec.training
    return Step(
        name=f"score-{model}",
        runs=Runs.USER,
        image=score.image,
        origin="evaluation.score",
        argv=score.argv,
        environment=tuple(
            (name, plain(value)) for name, value in training.env.items() if not isinstance(value, Secret)
        ),
        secrets=tuple((name, value.secret) for name, value in training.env.items() if isinstance(value, Secret)),
        inputs=(("predictions", Ref(f"predict-{model}", "predictions")), ("holdout", Ref("snapshot", "holdout"))),
        outputs=("out",),
        resources=resources(training.resources),
        timeout=training.timeout,
        retries=training.retries,
    )


def users_steps(spec: Spec) -> tuple[str, ...]:
    """The steps of the train pipeline that run the user's code, in order."""
    return (
        *(("prepare",) if spec.prepare is not None else ()),
        *("train", "predict-contender", "predict-champion"),
        *(("score-contender", "score-champion") if spec.evaluation.score is not None else ()),
        *(measurement.step for measurement in measurements(spec)),
    )
