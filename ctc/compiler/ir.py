"""The pipeline IR: target-neutral, frozen, total. Imports nothing of ctc.

A target reads a `System` and writes files. Every node knows, in `origin`, the dotted path of the spec that caused it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from ctc.value import Value, frozen


class Runs(StrEnum):
    """Whose code a step runs, hence in whose image."""

    RUNTIME = "runtime"
    USER = "user"
    CHAMPION = "champion"


@frozen
class Ref(Value):
    """An output of an earlier step: the only way in which steps refer to each other."""

    step: str
    output: str


@frozen
class Parameter(Value):
    """A pipeline parameter; all are strings. `default` None means that the caller must give it."""

    name: str
    default: str | None = None


@frozen
class Resources(Value):
    """What one container is given; `cpu` counts virtual CPUs, `gpus` accelerators of the model `gpu_type` (`t4`)."""

    cpu: float
    memory_bytes: int
    disk_bytes: int
    gpus: int = 0
    gpu_type: str = ""


@frozen
class Spot(Value):
    """Capacity that may be taken away: how often the command saves its work, and how long a job waits to go on."""

    checkpoint: timedelta
    max_wait: timedelta


@frozen
class Step(Value):
    """One container.

    `argv` holds the user's words, with placeholders such as `{train}`, for `Runs.USER`; it is empty for our steps,
    and for `Runs.CHAMPION`, whose argv travels with the version and arrives in the request. `inputs` maps an
    input's name to the artifact it reads; `imports` maps an input's name to the pipeline parameter that holds the
    URI of the folder it reads (a thing of an earlier attempt, such as the champion's model). `outputs` are artifact
    folders, `flags` the booleans of its result, `parameters` the pipeline parameters it is given. `document` is the
    static step document of our own steps (None for the user's).

    Of the user's steps: `apply` is the command that prepares rows by what `prepare` learnt, `digests` what the files
    of an input must be (`sha256:...`), `csv` the delimiter of the rows that it reads, empty for Parquet. `secrets` are
    the variables of its command whose values are secrets, each with the secret's name. A step with `checkpoints` is
    given a folder that every try and every launch of its attempt finds again. `program` is what runs the command
    (`targets/shim.py`): the `shim` to its end, the `adapter` with another platform's variables around it, the `probe`
    as a server that it asks, `nodes` several times at once, on as many machines; it is told `options`.
    """

    name: str
    runs: Runs
    image: str
    origin: str
    argv: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    inputs: tuple[tuple[str, Ref], ...] = ()
    imports: tuple[tuple[str, str], ...] = ()
    outputs: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    document: Mapping[str, Any] | None = None
    resources: Resources = Resources(1.0, 2 * 1024**3, 30 * 1024**3)
    timeout: timedelta = timedelta(hours=1)
    retries: int = 0
    spot: Spot | None = None
    apply: tuple[str, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    checkpoints: bool = False
    csv: str = ""
    program: str = "shim"
    nodes: int = 1
    options: tuple[tuple[str, str], ...] = ()


@frozen
class Branch(Value):
    """`then` runs only if the flag `on` is true. What depends on a step inside stands inside."""

    on: Ref
    then: tuple[Node, ...]
    origin: str


Node = Step | Branch


@frozen
class Pipeline(Value):
    """`on_exit` runs last and always, also after a failure."""

    name: str
    kind: str
    parameters: tuple[Parameter, ...]
    body: tuple[Node, ...]
    on_exit: Step | None
    origin: str

    def steps(self) -> Iterator[Step]:
        """Every step in order, those in branches included, the exit step last."""
        yield from _steps(self.body)
        if self.on_exit is not None:
            yield self.on_exit


def _steps(nodes: tuple[Node, ...]) -> Iterator[Step]:
    for node in nodes:
        if isinstance(node, Branch):
            yield from _steps(node.then)
        else:
            yield node


@frozen
class Wakes(Value):
    """When the wake pipeline is started: every `every`, and at each cron instant (five fields) in its zone."""

    every: timedelta
    crons: tuple[tuple[str, str, str], ...]
    """(trigger name, cron, IANA zone)"""


@frozen
class Server(Value):
    """A server of `serving`: the container, what it answers on, and at least how many of it run on which machine.

    `capture` is the share of requests that is kept, `most` how many may run (None: never more than `count`), `argv`
    the words of its command, with the placeholder `{model}`.
    """

    name: str
    image: str
    port: int
    health: str
    route: str
    capture: float
    count: int
    resources: Resources
    most: int | None = None
    argv: tuple[str, ...] = ()


@frozen
class RolloutStep(Value):
    """One step of a rollout: `kind` is smoke, mirror, approval or traffic; `share` that of the requests, 0 to 1."""

    kind: str
    share: float = 0.0


@frozen
class Rollout(Value):
    """How a version takes over at the server `serving`. Durations, gates and limits are wake's alone to judge."""

    serving: str
    steps: tuple[RolloutStep, ...]


@frozen
class System(Value):
    """All that one target needs to emit one spec in one environment.

    `root` is the URI, without trailing slash, below which state, attempts, records and step documents live.
    """

    name: str
    environment: str
    target: str
    spec_digest: str
    root: str
    wake: Pipeline
    train: Pipeline
    wakes: Wakes
    settings: Mapping[str, Any]
    features: tuple[tuple[str, str], ...]
    """(feature, origin) pairs that this spec uses; a target declares a capability for each."""
    gaps: tuple[str, ...] = ()
    """Paths of the spec that this version compiles and its steps refuse to run."""
    servers: tuple[Server, ...] = ()
    rollout: Rollout | None = None
    scores: tuple[Pipeline, ...] = ()
    """One for each batch entry of `serving`, of the kind `score-` and its name."""

    outs: tuple[tuple[str, str], ...] = ()
    """(URI or path, place in the spec) of the folders to which those write."""

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        return (self.wake, self.train, *self.scores)

    def cron_path(self, name: str) -> str:
        """The place in the spec of an entry of `wakes.crons`."""
        found = (pipeline.origin for pipeline in self.scores if pipeline.kind == name)
        return f"{next(found, f'triggers.{name}')}.schedule"
