"""Spec to IR: the two pipelines, written once for every target."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from ctc.compiler import batch
from ctc.compiler.bundle import canonical
from ctc.compiler.document import document
from ctc.compiler.ir import (
    Branch,
    Node,
    Parameter,
    Pipeline,
    Ref,
    Runs,
    Spot,
    Step,
    System,
    Wakes,
)
from ctc.compiler.machines import accelerated, on_nodes, resources
from ctc.compiler.scoring import measurements, measuring_step, score_step
from ctc.compiler.serving import rollout, servers, serving_features
from ctc.compiler.training import fill_hyperparameters, plain
from ctc.compiler.triggers import caps, crons, meaning
from ctc.language.spec import (
    DriftTrigger,
    EventTrigger,
    NewDataTrigger,
    PerformanceTrigger,
    ScheduleTrigger,
    Secret,
    Spec,
)
from ctc.language.spec.serving import Serving

CSV, READY, INPUT = "csv_", "ready_", "input_"
"""How the names start of rows written as CSV, of rows that `prepare` made ready, and of the files in `inputs`."""

SEEN = ("train", "valid", "rows")
"""The outputs of the snapshot that the user's code reads."""

_STORES = {"vertex": "gs"}
"""The scheme of a bucket that is named without one, by target."""

MODELS = ("contender", "champion")

ABSENT = "absent"
"""Key, below the root, of the folder that stands for a champion's model where there is none."""


def digest(spec: Spec) -> str:
    """sha256 of what the spec means in its environment, addresses left out: the same on every target."""
    whole = {**meaning(spec), "cost": caps(spec.cost)}
    del whole["targets"]
    return hashlib.sha256(canonical(whole, meaning)).hexdigest()


def lower(spec: Spec, target: str) -> System:
    """The system that `target` emits."""
    settings = spec.targets[target]
    store = f"azureml://datastores/{settings['datastore']}/paths" if target == "azureml" else str(settings["bucket"])
    root = f"{bucket_uri(store, target)}/{spec.model_name}/{spec.environment}/{target}"
    build = _Builder(spec, target, root, digest(spec))
    return System(
        name=spec.deployed_name,
        environment=spec.environment,
        target=target,
        spec_digest=build.spec_digest,
        root=root,
        wake=build.wake(),
        train=build.train(),
        wakes=Wakes(spec.trigger_policy.wake_every, (*crons(spec), *batch.crons(spec))),
        settings=settings,
        features=_features(spec),
        gaps=spec.gaps_on(target),
        servers=tuple(servers(spec)),
        scores=tuple(build.score(entry) for entry in batch.entries(spec)),
        outs=batch.outs(spec),
        rollout=rollout(spec),
    )


def pipelines(spec: Spec) -> tuple[Pipeline, ...]:
    """The wake, the training and the batch pipelines as they are on every target, for whoever only looks at them."""
    build = _Builder(spec, "", "", digest(spec))
    return (build.wake(), build.train(), *(build.score(entry) for entry in batch.entries(spec)))


def bucket_uri(bucket: str, target: str = "") -> str:
    """A bucket's URI; a bare name is the target's own store's, else the S3 protocol, which Kubeflow's speaks too."""
    return bucket.rstrip("/") if "://" in bucket else f"{_STORES.get(target, 's3')}://{bucket}"


class _Builder:
    def __init__(self, spec: Spec, target: str, root: str, spec_digest: str) -> None:
        self.spec = spec
        self.target = target
        self.root = root
        self.spec_digest = spec_digest
        self.csv = "" if spec.training.format is None else spec.training.format.delimiter
        self.continues = spec.retraining.strategy != "full"
        self.measured = measurements(spec)

    def wake(self) -> Pipeline:
        step = self.ours("wake", origin="triggers", parameters=("instant", "manual", "event"))
        return Pipeline(
            name=f"{self.spec.deployed_name}-wake",
            kind="wake",
            parameters=(Parameter("instant", ""), Parameter("manual", ""), Parameter("event", "")),
            body=(step,),
            on_exit=None,
            origin="triggers",
        )

    def train(self) -> Pipeline:
        attempt = ("instant", "attempt")
        snapshot = self.ours(
            "snapshot",
            origin="sources",
            outputs=(
                *("train", "valid", "rows", "holdout"),
                *(("history",) if self.spec.forecast else ()),
                *(f"{CSV}{name}" for name in SEEN if self.csv),
                *self._set_aside(),
                *(("requests",) if self.measured else ()),
            ),
            flags=("go",),
            parameters=attempt,
        )
        data = tuple((name, Ref("snapshot", name)) for name in ("train", "valid", "holdout"))
        validate = self.ours("validate", origin="validation", inputs=data, flags=("go",), parameters=attempt)
        # A model may be large: it is brought to the step only where a gate weighs it.
        weighed = any(gate.kind == "model_size" for gate in self.spec.promotion.gates)
        scored = self.spec.evaluation.score
        evaluate = self.ours(
            "evaluate",
            origin="evaluation",
            inputs=(
                ("holdout", Ref("snapshot", "holdout")),
                ("contender", Ref("predict-contender", "predictions")),
                ("champion", Ref("predict-champion", "predictions")),
                *((("model", Ref("train", "model")),) if weighed else ()),
                *((("score", Ref("score-contender", "out")),) if scored else ()),
                *((("champion_score", Ref("score-champion", "out")),) if scored else ()),
                *((item.output, Ref(item.step, "timings")) for item in self.measured),
            ),
            outputs=("evaluation", "scores"),
            parameters=attempt,
        )
        decide = self.ours(
            "decide",
            origin="promotion",
            inputs=(("evaluation", Ref("evaluate", "evaluation")),),
            outputs=("verdict",),
            flags=("promote",),
            parameters=attempt,
        )
        register = self.ours(
            "register",
            origin="promotion.registry",
            inputs=(
                ("model", Ref("train", "model")),
                ("evaluation", Ref("evaluate", "evaluation")),
                ("verdict", Ref("decide", "verdict")),
            ),
            parameters=attempt,
        )
        judged: tuple[Node, ...] = (
            *self._prepare_step(),
            self._train_step(),
            self._predict_contender(),
            self._predict_champion(),
            *(self._with_inputs(score_step(self.spec, scored, model)) for model in MODELS if scored is not None),
            *(self._with_inputs(measuring_step(item)) for item in self.measured),
            evaluate,
            decide,
            Branch(Ref("decide", "promote"), (register,), origin="promotion.gates"),
        )
        return Pipeline(
            name=f"{self.spec.deployed_name}-train",
            kind="train",
            parameters=(
                Parameter("instant"),
                Parameter("attempt"),
                Parameter("request"),
                Parameter("champion_model", f"{self.root}/{ABSENT}"),
                Parameter("champion_image", self.spec.training.image),
                *((Parameter("base_model", f"{self.root}/{ABSENT}"),) if self.continues else ()),
                *(Parameter(f"{INPUT}{given.name}", given.uri) for given in self.spec.training.inputs),
            ),
            body=(snapshot, validate, Branch(Ref("validate", "go"), judged, origin="validation")),
            on_exit=self.ours("record", origin="", parameters=attempt),
            origin="training",
        )

    def score(self, entry: Serving) -> Pipeline:
        """The job that scores rows with the champion of its start."""
        origin, job = f"serving.{entry.name}.batch", ("instant", "attempt")
        written = ("rows", *((f"{CSV}rows",) if self.csv else ()))
        rows = self.ours("rows", origin=origin, outputs=written, flags=("go",), parameters=job)
        predict = replace(
            self._predict_champion(Ref("rows", written[-1])),
            origin=f"serving.{entry.name}",
            resources=resources(entry.resources),
        )
        publish = self.ours(
            "publish",
            origin=f"{origin}.out",
            inputs=(("rows", Ref("rows", "rows")), ("predictions", Ref("predict-champion", "predictions"))),
            parameters=job,
        )
        return Pipeline(
            name=f"{self.spec.deployed_name}-{batch.kind(entry)}",
            kind=batch.kind(entry),
            parameters=(
                *(Parameter("instant"), Parameter("attempt"), Parameter("request")),
                *(Parameter("champion_model"), Parameter("champion_image")),
                *(Parameter(f"{INPUT}{given.name}", given.uri) for given in self.spec.training.inputs),
            ),
            body=(rows, Branch(Ref("rows", "go"), (predict, publish), origin=origin)),
            on_exit=self.ours("record", origin="", parameters=job),
            origin=origin,
        )

    def ours(self, name: str, *, origin: str, **fields: Any) -> Step:
        """A step that runs in our image, with its document."""
        return Step(
            name=name,
            runs=Runs.RUNTIME,
            image=self.spec.runtime_image,
            origin=origin,
            document=document(self.spec, name, target=self.target, root=self.root, spec_digest=self.spec_digest),
            **fields,
        )

    def _history(self) -> tuple[tuple[str, Ref], ...]:
        """A forecast is given the history before its origin."""
        return () if self.spec.forecast is None else (("history", Ref("snapshot", "history")),)

    def _rows(self, name: str) -> Ref:
        """Rows of the snapshot as the user's code reads them."""
        return Ref("snapshot", f"{CSV}{name}" if self.csv else name)

    def _prepare_step(self) -> tuple[Step, ...]:
        prepare, training = self.spec.prepare, self.spec.training
        if prepare is None:
            return ()
        step = self._users(
            "prepare",
            origin="prepare.fit",
            argv=prepare.fit,
            inputs=(("train", self._rows("train")), ("valid", self._rows("valid"))),
            outputs=("prepared", *(f"{READY}{name}" for name in self._prepared_parts())),
            apply=fill_hyperparameters(prepare.apply, training.hyperparameters),
        )
        image, machine = prepare.image or training.image, resources(prepare.resources)
        return (replace(step, image=image, resources=machine, timeout=prepare.timeout),)

    def _prepared_parts(self) -> tuple[str, ...]:
        """Nothing is prepared where there are never any rows."""
        return ("train", "valid") if self.spec.retraining.validation_share > 0 else ("train",)

    def _set_aside(self) -> tuple[str, ...]:
        """The output for rows that a check sets aside, where one may."""
        return ("quarantine",) if any(check.on_fail == "quarantine" for check in self.spec.checks) else ()

    def _train_step(self) -> Step:
        training, prepared = self.spec.training, self.spec.prepare is not None
        ready = self._prepared_parts() if prepared else ()
        inputs = {
            name: Ref("prepare", f"{READY}{name}") if name in ready else self._rows(name) for name in ("train", "valid")
        }
        step = self._users(
            "train",
            origin="training.argv",
            argv=training.argv,
            inputs=(*inputs.items(), *((("prepared", Ref("prepare", "prepared")),) if prepared else ())),
            imports=(("base_model", "base_model"),) if self.continues else (),
            outputs=("model",),
            parameters=("attempt",),
            checkpoints=True,
            spot=None if training.spot is None else Spot(training.spot.checkpoint, training.spot.max_wait),
        )
        return on_nodes(step, training.distributed)

    def _predict_contender(self) -> Step:
        prepare = self.spec.prepare
        return self._users(
            "predict-contender",
            origin="training.predict",
            argv=self.spec.training.predict,
            inputs=(("model", Ref("train", "model")), ("rows", self._rows("rows")), *self._history()),
            outputs=("predictions",),
            apply=() if prepare is None else fill_hyperparameters(prepare.apply, self.spec.training.hyperparameters),
        )

    def _predict_champion(self, rows: Ref | None = None) -> Step:
        """Of the snapshot's rows, or of others."""
        given = (("rows", self._rows("rows")), *self._history()) if rows is None else (("rows", rows),)
        return self._users(
            "predict-champion",
            origin="training.predict",
            runs=Runs.CHAMPION,
            inputs=given,
            imports=(("model", "champion_model"), ("request", "request")),
            outputs=("predictions",),
            parameters=("champion_image",),
        )

    def _users(
        self,
        name: str,
        *,
        origin: str,
        runs: Runs = Runs.USER,
        argv: tuple[str, ...] = (),
        imports: tuple[tuple[str, str], ...] = (),
        **fields: Any,
    ) -> Step:
        training = self.spec.training
        step = Step(
            name=name,
            runs=runs,
            image=training.image,
            origin=origin,
            argv=fill_hyperparameters(argv, training.hyperparameters),
            environment=(
                ("CTC_HYPERPARAMETERS", canonical(dict(training.hyperparameters)).decode()),
                ("CTC_SEED", str(training.seed)),
                *((name, plain(value)) for name, value in training.env.items() if not isinstance(value, Secret)),
            ),
            imports=imports,
            secrets=tuple((name, value.secret) for name, value in training.env.items() if isinstance(value, Secret)),
            csv=self.csv,
            resources=resources(training.resources),
            timeout=training.timeout,
            retries=training.retries,
            **fields,
        )
        if training.interface is not None and name != "prepare":
            step = replace(step, program="adapter", options=(("interface", training.interface),))
        return self._with_inputs(step)

    def _with_inputs(self, step: Step) -> Step:
        """With the files that every command of the user's is given."""
        given = tuple((f"{INPUT}{item.name}", item.digest) for item in self.spec.training.inputs)
        return replace(step, imports=(*step.imports, *((name, name) for name, _ in given)), digests=given)


def _features(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Every feature that this spec asks of a target, with the place that asks."""
    features = [
        ("wake.every", "trigger_policy.wake_every"),
        ("trigger.manual", "triggers"),
        ("step.timeout", "training.timeout"),
        ("step.resources", "training.resources"),
        ("branch.validation", "validation"),
        ("branch.promotion", "promotion.gates"),
        ("champion.own_image", "training.image"),
        ("record.always", "promotion"),
        ("run.single", "trigger_policy"),
    ]
    for trigger in spec.triggers:
        match trigger.spec:
            case ScheduleTrigger(timezone=timezone):
                features.append(("trigger.schedule", f"triggers.{trigger.name}"))
                if timezone not in ("UTC", "Etc/UTC"):
                    features.append(("trigger.schedule.timezone", f"triggers.{trigger.name}"))
            case NewDataTrigger():
                features.append(("trigger.new_data", f"triggers.{trigger.name}"))
            case EventTrigger():
                features.append(("trigger.event", f"triggers.{trigger.name}"))
            case DriftTrigger():
                features.append(("trigger.drift", f"triggers.{trigger.name}"))
            case PerformanceTrigger():
                features.append(("trigger.performance", f"triggers.{trigger.name}"))
    features += [("step.gpu", path) for path in accelerated(spec)]
    features += serving_features(spec)
    features += [("serving.batch", f"serving.{entry.name}") for entry in batch.entries(spec)]
    if spec.notifications:
        features.append(("notifications", "notifications"))
    if spec.trigger_policy.staleness is not None:
        features.append(("staleness", "trigger_policy.staleness"))
    if spec.training.retries:
        features.append(("step.retries", "training.retries"))
    if any(isinstance(value, Secret) for value in spec.training.env.values()):
        features.append(("step.secrets", "training.env"))
    if spec.training.spot is not None:
        features.append(("step.spot", "training.spot"))
    if spec.training.distributed is not None:
        kind = "step.distributed" if spec.training.distributed.launcher == "torchrun" else "step.mpi"
        features.append((kind, "training.distributed"))
    return tuple(sorted(set(features)))
