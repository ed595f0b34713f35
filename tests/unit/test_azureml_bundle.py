"""The Azure ML target: its settings and limits, its schedules and sizes, and what it lets each identity do."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from azureml_system import documents, every_system, full_spec, full_system, small_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from ctc.compiler.build import build
from ctc.compiler.ir import Resources, System, Wakes
from ctc.compiler.lower import lower
from ctc.diagnostics import CtcError
from ctc.language.cron import Cron
from ctc.steps import asked
from ctc.steps.task import StepFailed, Task
from ctc.targets import azureml
from ctc.targets.azureml import bootstrap, events, identities, services
from ctc.targets.azureml.check_bundle import check_bundle
from ctc.targets.azureml.limits import LIMITS
from ctc.targets.azureml.machines import SIZES, smallest
from ctc.targets.azureml.pipeline import NOTHING
from ctc.targets.azureml.places import WORKFLOW_NAME, short
from ctc.targets.azureml.schedules import dialect, recurrence
from ctc.targets.azureml.zones import WINDOWS, example, windows_zone

GIB = 1024**3
MINUTE = timedelta(minutes=1)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return lower(small_spec(tmp_path), "azureml")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return documents(full_system(tmp_path_factory.mktemp("full")))


def refused(system: System) -> list[tuple[str, str]]:
    return [(item.code, item.path) for item in azureml.limits(system)]


def test_a_small_system_is_sound(system: System) -> None:
    assert azureml.limits(system) == ()
    assert check_bundle(documents(system)) == []


def test_a_system_with_everything_is_sound(full: dict[str, Any], tmp_path: Path) -> None:
    assert azureml.limits(full_system(tmp_path)) == ()
    assert check_bundle(full) == []
    assert build(full_spec(tmp_path), azureml).bundle is not None


def test_every_spec_is_sound(tmp_path: Path) -> None:
    systems = every_system(tmp_path)

    assert len(systems) >= 14
    for name, made in systems.items():
        assert azureml.limits(made) == (), name
        assert check_bundle(documents(made)) == [], name


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("subscription", "payments"),
        ("resource_group", "payments."),
        ("resource_group", "pay ments"),
        ("workspace", "ml"),
        ("compute", "ct_cluster"),
        ("compute", "cluster-7"),
        ("datastore", "Fraud-ct"),
        ("identity", "/subscriptions/x/providers/Microsoft.ManagedIdentity/userAssignedIdentities/ct"),
    ],
)
def test_a_setting_that_is_no_name_is_refused_at_its_line(system: System, key: str, value: str) -> None:
    assert refused(replace(system, settings={**system.settings, key: value})) == [("CT360", f"targets.azureml.{key}")]


def test_a_name_that_makes_too_long_ones_is_refused(system: System) -> None:
    train = replace(system.train, name=f"{'x' * 240}-train")
    assert refused(replace(system, train=train)) == [("CT361", "name")]


@pytest.mark.parametrize("period", [timedelta(seconds=30), timedelta(seconds=90)])
def test_a_period_that_is_no_whole_number_of_minutes_is_refused(system: System, period: timedelta) -> None:
    assert refused(replace(system, wakes=Wakes(period, ()))) == [("CT363", "trigger_policy.wake_every")]
    with pytest.raises(ValueError, match="whole number"):
        recurrence(period)


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [("0 6 */2 * 1", "UTC", "both of its day fields"), ("0 6 * * 1", "America/Whitehorse", "time zones of Windows")],
)
def test_what_no_schedule_says_is_refused(system: System, cron: str, zone: str, said: str) -> None:
    changed = replace(system, wakes=Wakes(system.wakes.every, (("odd", cron, zone),)))

    assert refused(changed) == [("CT368", "triggers.odd.schedule")]
    assert said in azureml.limits(changed)[0].message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"resources": Resources(65, GIB, GIB)}, ("CT364", "training.resources")),
        ({"resources": Resources(1, 433 * GIB, GIB)}, ("CT364", "training.resources")),
        ({"resources": Resources(1, GIB, 865 * GIB)}, ("CT364", "training.resources")),
        ({"timeout": timedelta(days=8)}, ("CT365", "training.timeout")),
        ({"timeout": timedelta(days=21), "spot": None}, ("CT365", "training.timeout")),
        ({"environment": (("A", "${{inputs.x}}"),)}, ("CT366", "training.env.A")),
        ({"environment": (("A", "$[[x]]"),)}, ("CT366", "training.env.A")),
        ({"argv": ("a\0b",)}, ("CT367", "training.argv")),
        ({"argv": ("x" * 131_072,)}, ("CT367", "training.argv")),
        ({"outputs": tuple(f"o{n}" for n in range(19))}, ("CT362", "training.argv")),
        ({"imports": (("a-b", "a-b"), ("a_b", "a_b"))}, ("CT362", "training.inputs")),
    ],
)
def test_what_a_step_may_not_ask_for(tmp_path: Path, fields: dict[str, Any], expected: tuple[str, str]) -> None:
    whole = full_system(tmp_path)
    [train] = [step for step in whole.train.steps() if step.name == "train"]
    changed = replace(whole, train=replace(whole.train, body=(replace(train, retries=0, **fields),)))

    assert refused(changed) == [expected]


@pytest.mark.parametrize(
    ("topic", "ok"),
    [
        ("fraud-alerts", True),
        ("/subscriptions/1/resourceGroups/payments/providers/Microsoft.EventGrid/systemTopics/lake", False),
        ("GROUP/providers/Microsoft.EventGrid/systemTopics/lake", True),
        ("GROUP/providers/Microsoft.EventHub/namespaces/x", False),
        ("fraud alerts", False),
    ],
)
def test_a_topic_is_one_of_the_resource_group(tmp_path: Path, topic: str, ok: bool) -> None:
    whole = full_system(tmp_path)
    group = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/payments"
    named = {"fraud-ops-alert": {"event_grid": {"topic": topic.replace("GROUP", group)}}}
    changed = replace(whole, settings={**whole.settings, "events": named})

    assert refused(changed) == ([] if ok else [("CT369", "targets.azureml.events.fraud-ops-alert")])


def test_a_path_that_no_condition_can_hold_is_refused(tmp_path: Path) -> None:
    spec = small_spec(tmp_path, "parcels_eu/paths", "parcels_eu/paths/it's")

    assert refused(lower(spec, "azureml")) == [("CT360", "sources")]


def test_every_limit_has_a_source_a_quote_and_a_month() -> None:
    for name, limit in LIMITS.items():
        assert limit.value > 0, name
        assert limit.source and limit.quote, name
        assert re.fullmatch(r"20\d\d-\d\d", limit.as_of), name


@pytest.mark.parametrize(
    ("cpu", "memory", "disk", "name"),
    [
        (1, 2, 16, "Standard_D2s_v3"),
        (1, 2, 17, "Standard_E2s_v3"),
        (2, 9, 30, "Standard_E2s_v3"),
        (4, 8, 30, "Standard_F4s_v2"),
        (16, 64, 200, "Standard_E16s_v3"),
        (64, 432, 864, "Standard_E64s_v3"),
    ],
)
def test_the_smallest_size_that_fits(cpu: float, memory: int, disk: int, name: str) -> None:
    size = smallest(Resources(cpu, memory * GIB, disk * GIB))
    assert size is not None
    assert size.name == name


def test_a_size_s_name_says_its_vcpus_and_they_ascend() -> None:
    for size in SIZES:
        assert re.match(rf"Standard_[DEF]{size.cpu}s_v\d$", size.name)
    assert list(SIZES) == sorted(SIZES, key=lambda size: (size.cpu, size.memory_gib))


def said(trigger: dict[str, Any]) -> tuple[str, str]:
    """A trigger of the service as a cron and an IANA zone: how its documentation says that it fires."""
    zone = example(trigger["time_zone"])
    if trigger["type"] == "cron":
        assert trigger["expression"].split()[2:4] == ["*", "*"], "the service ignores them"
        return trigger["expression"], zone
    pattern = trigger["schedule"]
    assert (trigger["frequency"], trigger["interval"]) == ("month", 1)
    fields = (",".join(map(str, pattern[name])) for name in ("minutes", "hours", "month_days"))
    return f"{' '.join(fields)} * *", zone


TWO_YEARS = (datetime(2024, 12, 31, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC))


def fired(triggers: tuple[dict[str, Any], ...], months: frozenset[int], zone: str) -> set[datetime]:
    """When the service starts a wake, months that the cron leaves out left out: in those, wake does nothing."""
    found: set[datetime] = set()
    for trigger in triggers:
        cron, own = said(trigger)
        found.update(Cron.parse(cron).instants(*TWO_YEARS, own))
    return {instant for instant in found if instant.astimezone(ZoneInfo(zone)).month in months}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "cron",
    [
        "30 2 * * 1",
        "0 6 * * *",
        "*/20 1-3 * * SUN",
        "15 0 1 * *",
        "0 3 29-31 * *",
        "0 5 1,15 * 1",
        "0 6 2 1,4,7,10 *",
        "30 1 * 3,10,11 7",
        "59 23 31 12 *",
    ],
)
def test_the_service_wakes_when_the_spec_says_over_two_years(cron: str, zone: str) -> None:
    """Clocks that skip and show times twice included."""
    parsed = Cron.parse(cron)

    assert fired(dialect(cron, zone), parsed.months, zone) == set(parsed.instants(*TWO_YEARS, zone))


fields = {
    "minute": st.sampled_from(["0", "30", "*/15", "5,50"]),
    "hour": st.sampled_from(["0", "2", "1-3", "23", "*/6"]),
    "day": st.sampled_from(["*", "1", "31", "*/5", "1-7", "28-31"]),
    "month": st.sampled_from(["*", "3", "10,11", "JAN", "*/3"]),
    "weekday": st.sampled_from(["*", "0", "7", "MON-FRI", "*/2", "1,3"]),
}


@settings(max_examples=30, deadline=None)
@given(**fields)
def test_each_cron_is_said_or_refused(minute: str, hour: str, day: str, month: str, weekday: str) -> None:
    cron, zone = f"{minute} {hour} {day} {month} {weekday}", "Europe/Oslo"
    parsed = Cron.parse(cron)
    try:
        triggers = dialect(cron, zone)
    except ValueError:
        assert not parsed.either_day
        assert len(parsed.days) < 31
        assert len(parsed.weekdays) < 7
        return

    assert fired(triggers, parsed.months, zone) == set(parsed.instants(*TWO_YEARS, zone))


def test_every_zone_has_the_clocks_of_its_windows_zone() -> None:
    """At each hour around every change of 2025 and 2026; CLDR's own table is compared by the judge."""
    hours = [datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=12 * n) for n in range(2 * 730)]
    for windows, names in WINDOWS.items():
        clocks = [hour.astimezone(ZoneInfo(example(windows))).utcoffset() for hour in hours]
        for name in names.split():
            assert [hour.astimezone(ZoneInfo(name)).utcoffset() for hour in hours] == clocks, name
            assert windows_zone(name) == windows


@pytest.mark.parametrize(
    ("period", "unit", "interval"),
    [(MINUTE, "minute", 1), (90 * MINUTE, "minute", 90), (36 * 60 * MINUTE, "hour", 36), (7 * 1440 * MINUTE, "day", 7)],
)
def test_a_period_recurs_in_its_largest_unit(period: timedelta, unit: str, interval: int) -> None:
    made = recurrence(period)

    assert (made["frequency"], made["interval"], made["time_zone"]) == (unit, interval, "UTC")
    assert timedelta(**{f"{unit}s": interval}) == period


def test_what_each_identity_may_do(full: dict[str, Any], tmp_path: Path) -> None:
    grants = full["identities/grants.json"]["grants"]
    waker = [grant for grant in grants if "identity" in grant["principal"]]

    assert [grant["role"] for grant in waker] == ["ctc checkout-fraud waker"]
    assert full["identities/role-waker.json"]["DataActions"] == []
    assert len(grants) == len({(grant["role"], grant["scope"], str(grant["principal"])) for grant in grants})
    [keeper] = [grant for grant in grants if grant["role"].endswith(" keeper")]
    assert keeper["scope"] == "datastore:fraud_ct"
    assert "StringStartsWith 'checkout-fraud/" in keeper["condition"]
    [reader] = [grant for grant in grants if grant["role"].endswith(" reader")]
    assert reader["scope"] == "datastore:payments"
    assert {grant["principal"].get("client_id") for grant in grants} == {
        "99999999-8888-7777-6666-555555555555", None,
    }  # fmt: skip
    for path, role in full.items():
        if path.startswith("identities/role-") and "deployer" not in path:
            assert [item for item in role["Actions"] if "*" in item] in (
                [], ["Microsoft.MachineLearningServices/workspaces/*/read"],
            )  # fmt: skip


def test_without_an_identity_the_clusters_own_is_meant(system: System) -> None:
    assert {str(grant["principal"]) for grant in identities.grants(system)} == {"{'compute': 'cpu-cluster'}"}
    assert not identities.needs_waker(system)
    assert not any(path.startswith(("events/", "staleness/", "components/")) for path in documents(system))


def test_a_secret_of_a_notification_is_granted_alone(full: dict[str, Any], tmp_path: Path) -> None:
    grants = [grant for grant in full["identities/grants.json"]["grants"] if grant["scope"].startswith("secret:")]
    assert {grant["role"] for grant in grants} == {"Key Vault Secrets User"}
    assert {grant["scope"]: grant["principal"] for grant in grants} == {
        "secret:slack-fraud-oncall": {"client_id": "99999999-8888-7777-6666-555555555555"},
        "secret:hub-token": {"workspace": "fraud"},
    }
    sheet = bootstrap.sheet(full_system(tmp_path)).decode()
    for who, name in (("runner", "slack-fraud-oncall"), ("trainer", "hub-token")):
        [line] = [line for line in sheet.splitlines() if f'--scope "$vault/secrets/{name}"' in line]
        assert f'--assignee-object-id "${who}"' in line


def test_a_secret_of_the_training_needs_its_vault(tmp_path: Path) -> None:
    built = build(small_spec(tmp_path, "training:\n", "training:\n  env: {TOKEN: {secret: hub}}\n"), azureml)

    assert [(item.code, item.path) for item in built.diagnostics] == [("CT360", "targets.azureml")]
    assert "key_vault" in built.diagnostics[0].help


def test_every_value_of_the_sheet_is_one_word(tmp_path: Path) -> None:
    whole = full_system(tmp_path)
    hostile = "a b; $(id) 'x'"
    changed = replace(whole, settings={**whole.settings, "compute": hostile, "workspace": hostile, "identity": ""})
    sheet = bootstrap.sheet(changed).decode()

    assert shlex.quote(hostile) in sheet
    for line in sheet.splitlines():
        if hostile in line.replace(shlex.quote(hostile), ""):
            assert line.startswith("- "), "outside of quotes it stands in text only"


def test_the_sheet_gives_what_the_documents_say(full: dict[str, Any], tmp_path: Path) -> None:
    sheet = bootstrap.sheet(full_system(tmp_path)).decode()

    for grant in full["identities/grants.json"]["grants"]:
        assert f"--role {shlex.quote(grant['role'])}" in sheet
        assert shlex.quote(grant.get("condition", "")) in sheet or "condition" not in grant
    assert sheet.count("az role assignment create") == len(full["identities/grants.json"]["grants"])
    for path in full:
        if path.startswith("identities/role-"):
            assert f"--role-definition {path}" in sheet


def test_the_workflow_of_an_event_hands_it_over_as_the_wake_reads_it(full: dict[str, Any]) -> None:
    template = full["events/fraud-ops-alert.template.json"]
    taken = template["resources"][0]["properties"]["definition"]["actions"]["shake"]["else"]["actions"]
    alert = {**taken["alert"]["inputs"], "id": "42", "at": "2024-01-02T03:04:05Z", "fields": {"severity": "high"}}
    now = datetime(2024, 1, 3, tzinfo=UTC)
    read = asked.event(Task("wake", {}, now, "", {"event": json.dumps(alert)}, {}, {}, {}))

    assert read is not None
    assert (read.name, read.key, dict(read.fields)) == ("fraud-ops-alert", "42", {"severity": "high"})
    assert read.at == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert taken["wake"]["inputs"]["body"]["properties"]["inputs"]["manual"]["value"] == NOTHING


@pytest.mark.parametrize("length", [10, 43, 60])
def test_names_are_shortened_and_stay_apart(length: int) -> None:
    names = {short(f"{'x' * length}{end}") for end in ("a", "b", "-a", "_a")}

    assert len(names) == 4
    assert all(len(name) <= WORKFLOW_NAME for name in names)


def test_a_duration_is_iso_8601() -> None:
    assert [events.duration(seconds) for seconds in (4200, 86400, 90061)] == ["PT1H10M", "P1D", "P1DT1H1M1S"]


def test_inside_the_service_there_is_nothing_to_reach_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTC_MOUNTS", raising=False)
    with pytest.raises(StepFailed, match="ctc deploy"):
        services.build({})


def test_a_job_that_the_checks_refuse_does_not_run(full: dict[str, Any], tmp_path: Path) -> None:
    from ctc.compiler.target import Machine
    from ctc.targets.azureml.rehearse import execute
    from ctc.targets.kfp_yaml import as_yaml

    broken = {**full["pipelines/wake.yml"], "type": "sweep"}
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "wake.yml").write_bytes(as_yaml(broken))
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(CtcError, match="is no pipeline"):
        execute(tmp_path, "wake", {}, Machine({}, {}, tmp_path, tmp_path))
