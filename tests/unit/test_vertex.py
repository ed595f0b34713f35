"""The Vertex target: its limits, its schedules, its jobs, and what it lets each account do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vertex_system import SPECS, documents, full_spec, full_system

from ctc.compiler.build import build
from ctc.compiler.ir import Resources, System, Wakes
from ctc.compiler.lower import lower
from ctc.diagnostics import CtcError
from ctc.language.cron import Cron
from ctc.language.load import load_spec
from ctc.language.spec import Spec
from ctc.steps.task import StepFailed
from ctc.targets import vertex
from ctc.targets.kfp_check import check as check_spec
from ctc.targets.vertex import services
from ctc.targets.vertex.check import check
from ctc.targets.vertex.check_bundle import check_bundle
from ctc.targets.vertex.identities import waker_id
from ctc.targets.vertex.machines import MACHINE_TYPES, smallest
from ctc.targets.vertex.pipeline import custom_job, job_seconds, payload
from ctc.targets.vertex.rehearse import plain
from ctc.targets.vertex.schedules import dialect, every, nearest

GIB = 1024**3
MINUTE = timedelta(minutes=1)


@pytest.fixture
def spec() -> Spec:
    loaded = load_spec(SPECS / "everywhere.yaml", None, "vertex")
    assert loaded.spec is not None, loaded.diagnostics
    return loaded.spec


@pytest.fixture
def system(spec: Spec) -> System:
    return lower(spec, "vertex")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return documents(full_system(tmp_path_factory.mktemp("full")))


def found(system: System) -> list[tuple[str, str]]:
    return [(item.code, item.path) for item in vertex.limits(system)]


def with_setting(system: System, **values: str) -> System:
    return replace(system, settings={**system.settings, **values})


def test_a_small_system_is_sound(spec: Spec) -> None:
    built = build(spec, vertex)

    assert built.diagnostics == ()
    assert check_bundle(documents(built.system)) == []


def test_a_system_with_everything_is_sound(full: dict[str, Any]) -> None:
    assert check_bundle(full) == []


def test_a_bare_bucket_is_one_of_cloud_storage(system: System) -> None:
    assert system.root == "gs://acme-ct-eu/late-parcels/default/vertex"
    job = documents(system)["pipelines/train.json"]
    assert job["runtimeConfig"]["gcsOutputDirectory"] == f"{system.root}/artifacts"


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("project", "Acme ML", "CT370"),
        ("project", "123456789012", "CT370"),
        ("region", "europe", "CT370"),
        ("region", "europe-west4-a", "CT370"),
        ("service_account", "parcels-ct", "CT370"),
        ("service_account", "parcels-ct@example.org", "CT370"),
        ("network", "ml", "CT370"),
        ("network", "projects/acme-ml/global/networks/ml", "CT370"),
        ("kms_key", "artifacts", "CT370"),
    ],
)
def test_a_setting_that_is_no_address_is_refused_at_its_line(
    system: System, setting: str, value: str, code: str
) -> None:
    assert found(with_setting(system, **{setting: value})) == [(code, f"targets.vertex.{setting}")]


def test_another_store_is_refused(system: System) -> None:
    assert found(replace(system, root="s3://acme-ct/x")) == [("CT371", "targets.vertex.bucket")]


def test_a_name_that_vertex_does_not_take_is_refused(system: System) -> None:
    assert found(replace(system, train=replace(system.train, name="Parcels_train"))) == [("CT372", "name")]
    long = Wakes(system.wakes.every, (("t" * 110, "0 6 * * 1", "UTC"),))
    assert found(replace(system, wakes=long)) == [("CT372", f"triggers.{'t' * 110}")]


@pytest.mark.parametrize(
    ("first", "second", "whose"),
    [
        ("every", "weekly", "triggers.every"),
        ("x", "x-2", "triggers.x-2"),
        ("x", "clocks-x", "triggers.clocks-x"),
        ("x", "clocks-x-2", "triggers.clocks-x-2"),
    ],
)
def test_two_schedules_that_would_be_called_alike_are_an_error(
    system: System, first: str, second: str, whose: str
) -> None:
    """The first cron takes two schedules, and two more where the clocks of Oslo change."""
    crons = ((first, "30 2 1,29 * 0", "Europe/Oslo"), (second, "0 6 * * *", "UTC"))

    assert found(replace(system, wakes=Wakes(timedelta(days=1), crons))) == [("CT372", whose)]
    others = (("a", *crons[0][1:]), ("b", *crons[1][1:]))
    assert not found(replace(system, wakes=Wakes(timedelta(days=1), others)))


@pytest.mark.parametrize("period", [timedelta(seconds=90), timedelta(minutes=7), timedelta(days=2)])
def test_a_period_that_crons_cannot_keep_is_refused_with_the_next_one(system: System, period: timedelta) -> None:
    wakes = replace(system.wakes, every=period)

    assert found(replace(system, wakes=wakes)) == [("CT373", "trigger_policy.wake_every")]
    assert every(nearest(period))
    assert nearest(period) <= max(period, MINUTE)


def test_days_in_both_fields_at_once_are_refused(system: System) -> None:
    wakes = Wakes(system.wakes.every, (("odd", "0 6 */2 * 1", "UTC"),))

    assert found(replace(system, wakes=wakes)) == [("CT374", "triggers.odd.schedule.cron")]


def with_training(system: System, **fields: Any) -> System:
    def changed(nodes: Any) -> Any:
        return tuple(
            replace(node, then=changed(node.then))
            if hasattr(node, "then")
            else replace(node, **fields)
            if node.name == "train"
            else node
            for node in nodes
        )

    return replace(system, train=replace(system.train, body=changed(system.train.body)))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"resources": Resources(97, GIB, 30 * GIB)}, [("CT375", "training.resources")]),
        ({"resources": Resources(1, 625 * GIB, 30 * GIB)}, [("CT375", "training.resources")]),
        ({"resources": Resources(1, GIB, 65_000 * 10**9)}, [("CT376", "training.resources.disk")]),
        (
            {"resources": Resources(1, GIB, 200 * 10**9), "timeout": timedelta(days=5), "retries": 1},
            [("CT377", "training.timeout")],
        ),
        ({"environment": tuple((f"V{number}", "x") for number in range(101))}, [("CT378", "training.env")]),
        ({"argv": ("python", "{{$.inputs}}")}, [("CT315", "training.argv")]),
        ({"argv": ("python", "$(HOME)")}, [("CT315", "training.argv")]),
        (
            {"argv": ("python", "x" * 100_000), "resources": Resources(1, GIB, 200 * 10**9)},
            [("CT316", "training.argv")],
        ),
    ],
)
def test_what_a_step_may_not_ask_for(system: System, fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert found(with_training(system, **fields)) == expected


def test_an_event_with_a_long_name_is_refused(system: System) -> None:
    name = "e" * 60
    long = replace(system, settings={**system.settings, "events": {name: {"pubsub": {"topic": "t"}}}})

    assert found(long) == [("CT379", f"targets.vertex.events.{name}")]


@pytest.mark.parametrize(
    ("cpu", "memory", "name"),
    [
        (1, 2, "e2-standard-4"),
        (4, 17, "e2-highmem-4"),
        (16, 60, "e2-standard-16"),
        (16, 64, "e2-standard-16"),
        (17, 64, "e2-standard-32"),
        (96, 624, "n1-highmem-96"),
    ],
)
def test_the_smallest_machine_that_fits(cpu: float, memory: int, name: str) -> None:
    machine = smallest(Resources(cpu, memory * GIB, 0))

    assert machine is not None
    assert machine.name == name


def test_a_machines_name_says_its_vcpus() -> None:
    """The table is typed by hand; Google's names hold the number of vCPUs, and the ratios are the families'."""
    ratio = {"e2-standard": 4, "e2-highmem": 8, "e2-highcpu": 1, "n1-standard": 3.75, "n1-highmem": 6.5}
    for machine in MACHINE_TYPES:
        family, _, number = machine.name.rpartition("-")
        assert int(number) == machine.cpu
        assert machine.memory_gib == ratio[family] * machine.cpu


PERIODS = [timedelta(minutes=minutes) for minutes in range(1, 1441) if 1440 % minutes == 0]


@pytest.mark.parametrize("period", PERIODS, ids=lambda period: str(period))
def test_crons_of_a_period_fire_once_in_each(period: timedelta) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    end = start + timedelta(days=2)
    wanted = [start + period * number for number in range(1, int(timedelta(days=2) / period) + 1)]

    fired = sorted(instant for cron in every(period) for instant in firings(cron, start, end))
    assert fired == wanted


def firings(cron: str, start: datetime, end: datetime) -> list[datetime]:
    """The instants in `(start, end]` of a service's cron, minute by minute: written apart from the language's own.

    Only plain lists of numbers, and at most one restricted day field, so that every dialect agrees. A time that the
    clocks show twice fires twice here, one that they skip does not fire.
    """
    prefix, *words = cron.split(" ")
    zone = ZoneInfo(prefix.removeprefix("TZ="))
    fields = [None if word == "*" else {int(number) for number in word.split(",")} for word in words]
    assert fields[2] is None or fields[4] is None
    found = []
    instant = start
    while instant < end:
        instant += MINUTE
        local = instant.astimezone(zone)
        values = (local.minute, local.hour, local.day, local.month, local.isoweekday() % 7)
        if all(field is None or value in field for field, value in zip(fields, values, strict=True)):
            found.append(instant)
    return found


CRONS = [
    ("30 2 * * 1", "Europe/Oslo"),
    ("30 2 * * 7", "America/New_York"),
    ("15 3 * * *", "UTC"),
    ("0 4 1 * *", "Europe/Oslo"),
    ("0 3 7 */3 *", "Asia/Kathmandu"),
    ("5,35 6-18/4 * jan-jun mon-fri", "Australia/Lord_Howe"),
    ("0 0 1,15 * fri", "America/Sao_Paulo"),
]


@pytest.mark.parametrize(("cron", "zone"), CRONS)
def test_a_schedule_fires_when_the_spec_says_over_two_years(cron: str, zone: str) -> None:
    """Except where the clocks change: there wake fires once, at its next wake, whatever the service does."""
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    wanted = set(Cron.parse(cron).instants(start, end, zone))
    made = {instant for text in dialect(cron, zone) for instant in hourly(text, start, end)}
    local = ZoneInfo(zone)

    def changing(instant: datetime) -> bool:
        around = (instant - timedelta(hours=3), instant + timedelta(hours=3))
        return len({moment.astimezone(local).utcoffset() for moment in around}) > 1

    assert wanted
    assert all(changing(instant) for instant in wanted ^ made)
    assert len(wanted ^ made) <= 8


def hourly(cron: str, start: datetime, end: datetime) -> list[datetime]:
    """As `firings`, but only in the minutes of the cron: two years have a million minutes."""
    minutes = cron.split(" ")[1]
    zone = ZoneInfo(cron.split(" ")[0].removeprefix("TZ="))
    wanted = set(range(60)) if minutes == "*" else {int(number) for number in minutes.split(",")}
    found, instant = [], start
    while instant < end:
        instant += timedelta(minutes=5)
        if instant.astimezone(zone).minute in wanted:
            found += firings(cron, instant - MINUTE, min(instant, end))
    return found


@settings(max_examples=25, deadline=None)
@given(
    minute=st.sampled_from(["0", "*/15", "5,50"]),
    hour=st.sampled_from(["*", "6", "2-5", "*/6"]),
    day=st.sampled_from(["*", "1", "1,15", "*/10"]),
    month=st.sampled_from(["*", "feb-apr", "11"]),
    weekday=st.sampled_from(["*", "mon", "0", "7", "1-5"]),
)
def test_each_cron_is_said_exactly_or_refused(minute: str, hour: str, day: str, month: str, weekday: str) -> None:
    cron = f"{minute} {hour} {day} {month} {weekday}"
    start, end = datetime(2026, 1, 20, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    try:
        texts = dialect(cron, "UTC")
    except ValueError:
        assert day.startswith("*/") and weekday != "*"
        return
    made = {instant for text in texts for instant in hourly(text, start, end)}

    assert made == set(Cron.parse(cron).instants(start, end, "UTC"))


def test_a_step_with_a_disk_becomes_a_job_and_stays_the_same_step(full: dict[str, Any]) -> None:
    spec = full["pipelines/train.json"]["pipelineSpec"]
    executors = spec["deploymentSpec"]["executors"]
    launched = {label for label, executor in executors.items() if payload(executor)}
    local = plain(spec)

    assert launched == {"exec-train", "exec-predict-contender", "exec-predict-champion"}
    assert check_spec(local) == []
    args = local["deploymentSpec"]["executors"]["exec-train"]["container"]["args"]
    assert args[args.index("--executor_input") + 1] == "{{$}}"
    assert args[args.index("--") + 1 :][:3] == ["python", "-m", "fraud.train"]
    assert "gcp_resources" not in json.dumps(local["components"])


def test_only_training_is_on_spot(full: dict[str, Any]) -> None:
    executors = full["pipelines/train.json"]["pipelineSpec"]["deploymentSpec"]["executors"]
    scheduling = {
        label: job["job_spec"]["scheduling"] for label, executor in executors.items() if (job := payload(executor))
    }

    assert scheduling["exec-train"] == {
        "strategy": "SPOT", "restart_job_on_worker_restart": True, "timeout": f"{3 * 7200 + 600}s",
    }  # fmt: skip
    assert scheduling["exec-predict-champion"] == {"timeout": f"{3 * 7200 + 600}s"}


def test_the_time_of_a_job_covers_every_try(tmp_path: Path) -> None:
    step = next(step for step in full_system(tmp_path).train.steps() if step.name == "train")

    assert job_seconds(step) >= (step.timeout * (step.retries + 1)).total_seconds()


def test_a_job_keeps_the_settings_of_the_pipeline(tmp_path: Path) -> None:
    system = full_system(tmp_path)
    step = next(step for step in system.train.steps() if step.name == "train")
    job = custom_job(system, step, {"image": "i", "command": [], "args": ["{{$}}"]})

    assert job["job_spec"]["network"] == system.settings["network"]
    assert job["encryption_spec"] == {"kms_key_name": system.settings["kms_key"]}
    assert job["job_spec"]["worker_pool_specs"][0]["container_spec"]["args"] == ["{{$.json_escape[1]}}"]


GIVEN = {"instant": "2026-01-01T00:00:00Z", "attempt": "a", "request": "gs://acme-ct-eu/r"}


def test_a_submission_is_whole(full: dict[str, Any]) -> None:
    body = full["pipelines/train.json"]
    made = services.submission(body, {**GIVEN, "champion_image": "registry.example/old@sha256:0"})
    executors = made["pipelineSpec"]["deploymentSpec"]["executors"]
    champion, contender = payload(executors["exec-predict-champion"]), payload(executors["exec-predict-contender"])

    assert champion is not None and contender is not None
    images = [job["job_spec"]["worker_pool_specs"][0]["container_spec"]["image_uri"] for job in (champion, contender)]
    assert images[0] == "registry.example/old@sha256:0"
    assert images[1].startswith("registry.example/fraud@")
    assert executors["exec-predict-champion"]["container"]["image"].startswith("gcr.io/ml-pipeline/")
    assert check(made) == []
    assert made["runtimeConfig"]["parameterValues"].items() >= GIVEN.items()
    assert body["runtimeConfig"]["parameterValues"].keys().isdisjoint(GIVEN)


def test_a_submission_of_a_plain_task_names_the_champions_image(system: System) -> None:
    body = documents(system)["pipelines/train.json"]
    made = services.submission(body, {**GIVEN, "champion_image": "registry.example/old@sha256:0"})

    container = made["pipelineSpec"]["deploymentSpec"]["executors"]["exec-predict-champion"]["container"]
    assert container["image"] == "registry.example/old@sha256:0"


@pytest.mark.parametrize("parameters", [{}, {**GIVEN, "more": "x"}])
def test_a_submission_with_other_parameters_is_refused(full: dict[str, Any], parameters: dict[str, str]) -> None:
    with pytest.raises(CtcError, match="parameter"):
        services.submission(full["pipelines/train.json"], parameters)


def test_inside_the_service_there_is_nothing_to_reach_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTC_MOUNTS", raising=False)
    with pytest.raises(StepFailed, match="ctc run --target vertex"):
        services.build({"root": "gs://b/x"})


def test_what_each_account_may_do(full: dict[str, Any]) -> None:
    grants = full["identities/grants.json"]["grants"]
    held = {(grant["resource"], grant["binding"]["role"], grant["binding"]["members"][0]) for grant in grants}
    runner = "serviceAccount:fraud-ct@acme-ml.iam.gserviceaccount.com"
    waker = "serviceAccount:checkout-fraud-waker@acme-ml.iam.gserviceaccount.com"
    roles, own = "projects/acme-ml/roles/ctc_checkout_fraud_", "//storage.googleapis.com/projects/_/buckets/"
    account = "//iam.googleapis.com/projects/acme-ml/serviceAccounts/fraud-ct@acme-ml.iam.gserviceaccount.com"

    assert held == {
        ("//cloudresourcemanager.googleapis.com/projects/acme-ml", f"{roles}runner", runner),
        ("//cloudresourcemanager.googleapis.com/projects/acme-ml", f"{roles}waker", waker),
        (f"{own}acme-ct-eu", f"{roles}keeper", runner),
        (f"{own}acme-ct-eu", f"{roles}reader", waker),
        (f"{own}acme-payments", f"{roles}reader", runner),
        (account, "roles/iam.serviceAccountUser", runner),
        (account, "roles/iam.serviceAccountUser", waker),
        *(
            (
                f"//secretmanager.googleapis.com/projects/acme-ml/secrets/{name}",
                "roles/secretmanager.secretAccessor",
                runner,
            )
            for name in ("slack-fraud-oncall", "hub-token")
        ),
    }


def test_a_plain_system_has_no_account_that_starts_it(system: System) -> None:
    made = documents(system)

    assert not any("waker" in path for path in made)
    permissions = made["identities/role-runner.json"]["role"]["includedPermissions"]
    assert not any(permission.startswith("aiplatform.customJobs.") for permission in permissions)


def test_the_id_of_an_account_fits_and_stays_apart(system: System) -> None:
    names = [f"{'a' * 36}-{letter}" for letter in "xyz"]
    made = [waker_id(replace(system, name=name)) for name in names]

    assert len(set(made)) == 3
    assert all(6 <= len(name) <= 30 for name in made)


def test_every_value_of_the_sheet_is_one_word(tmp_path: Path) -> None:
    """A bucket's name cannot hold a quote; a secret's name may: it does not become shell code."""
    import shlex

    spec = full_spec(tmp_path)
    sheet = next(item.content for item in vertex.emit(lower(spec, "vertex")).artifacts if item.path == "BOOTSTRAP.md")
    commands = [line for line in sheet.decode().splitlines() if line.startswith("gcloud ")]

    assert len(commands) >= 15
    for command in commands:
        assert shlex.join(shlex.split(command)) == command
    assert "cloudscheduler.googleapis.com" in sheet.decode()


def test_what_is_uploaded_is_named_after_its_content(system: System) -> None:
    bundle = vertex.emit(system)
    other = vertex.emit(replace(system, spec_digest="0" * 64))

    assert [path for path, _ in bundle.uploads] == ["pipelines/train.json", "pipelines/wake.json"]
    assert set(bundle.uploads).isdisjoint(other.uploads)
    assert all(uri.startswith(f"{system.root}/support/") for _, uri in bundle.uploads)
