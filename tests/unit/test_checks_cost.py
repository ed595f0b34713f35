"""Budgets in numbers, runs that follow too fast, and notifications that never come."""

from __future__ import annotations

import pytest
from changed_spec import SERVER, findings

DAILY = 'triggers: {weekly: {schedule: {cron: "30 2 * * *"}}}'


@pytest.mark.parametrize(
    ("cost", "paths"),
    [
        ("{max_per_run: 45, max_per_month: 400}", []),
        ("{currency: EUR, max_per_run: 45 EUR}", []),
        ("{max_per_run: 45 EUR}", ["cost.max_per_run"]),
        ("{currency: EUR, max_per_run: 45 USD, max_per_month: 400 USD}", ["cost.max_per_run", "cost.max_per_month"]),
    ],
)
def test_one_currency(cost: str, paths: list[str]) -> None:
    assert [item.path for item in findings("CT400", f"cost: {cost}")] == paths


@pytest.mark.parametrize(
    ("cost", "path"),
    [
        ("{max_per_run: 45, max_per_month: 45}", None),
        ("{max_per_run: 45, max_per_month: 44.99}", "cost.max_per_month"),
        ("{max_per_run: 0, max_per_month: 45}", "cost.max_per_run"),
        ("{max_per_month: 0}", "cost.max_per_month"),
        ("{max_per_run: 45 EUR, max_per_month: 40}", None),
    ],
)
def test_a_run_fits_the_month(cost: str, path: str | None) -> None:
    assert [item.path for item in findings("CT401", f"cost: {cost}")] == ([] if path is None else [path])


@pytest.mark.parametrize(
    ("cost", "more", "said"),
    [
        ("{max_per_run: 20, max_per_month: 100}", "{}", None),
        ("{max_per_run: 20, max_per_month: 99}", "{}", "fires up to 5 times in 30d"),
        ("{max_per_run: 20, max_per_month: 99}", "triggers: {weekly: {exempt: true}}", None),
        ("{max_per_run: 20, max_per_month: 100}", DAILY, "fires up to 30 times in 30d"),
        ("{max_per_run: 20, max_per_month: 100}", DAILY + "\ntrigger_policy: {max_runs: {count: 5, per: 30d}}", None),
        (
            "{max_per_run: 20, max_per_month: 100}",
            "trigger_policy: {max_runs: {count: 3, per: 10d}}",
            "`max_runs` lets runs start up to 9 times in 30d",
        ),
        ("{max_per_run: 200, max_per_month: 100}", "{}", None),
        ("{max_per_month: 100}", DAILY, None),
        ("{max_per_run: 0.10, max_per_month: 0.30}", "trigger_policy: {max_runs: {count: 3, per: 30d}}", None),
        ("{max_per_run: 0.10, max_per_month: 0.30}", "trigger_policy: {max_runs: {count: 4, per: 30d}}", "pay for 3"),
    ],
)
def test_how_long_the_budget_lasts(cost: str, more: str, said: str | None) -> None:
    found = findings("CT402", f"cost: {cost}", more)

    assert [said in item.message for item in found if said] == ([True] if said else [])
    assert bool(found) is bool(said)


APPROVAL = "{any_of: [leads]}"


@pytest.mark.parametrize(
    ("event", "enabled_by"),
    [
        ("over_budget", "cost: {max_per_month: 5}"),
        ("stale", "trigger_policy: {staleness: {max_age: 30d}}"),
        ("drifted", "triggers: {d: {drift: {columns: [a], method: psi, max: 1, window: 1d}, then: alert}}"),
        ("drifted", "triggers: {p: {performance: {metric: auc, min: 0.5, window: 7d}}}"),
        ("approval_needed", f"promotion: {{approval: {APPROVAL}}}"),
        ("approval_needed", f"promotion: {{first: {{approval: {APPROVAL}}}}}"),
        ("approval_needed", "promotion: {if_not_evaluable: ask}"),
        ("approval_needed", "mode: recommend"),
        ("approval_needed", SERVER + f"rollout: {{steps: [{{approval: {APPROVAL}}}, {{traffic: 100%}}]}}"),
        ("failed", "{}"),
        ("rolled_back", "{}"),
    ],
)
def test_what_can_be_told(event: str, enabled_by: str) -> None:
    told = f"notifications: {{team: {{email: {{to: [a@b.example]}}, events: [trained, {event}]}}}}"
    found = findings("CT403", told)

    assert [item.path for item in found] == (
        [] if event in ("failed", "rolled_back") else ["notifications.team.events.1"]
    )
    assert findings("CT403", told, enabled_by) == []


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("team@acme.example", True),
        ("first.last+ct@mail.acme.example", True),
        ("team", False),
        ("team@acme", False),
        ("@acme.example", False),
        ("mailto:team@acme.example", False),
        ("a@acme.example, b@acme.example", False),
        ("Team <team@acme.example>", False),
    ],
)
def test_addresses(address: str, good: bool) -> None:
    change = f"notifications: {{team: {{email: {{to: ['{address}']}}, events: [failed]}}}}"

    assert bool(findings("CT404", change)) is not good


@pytest.mark.parametrize(
    ("events", "more", "silent"),
    [
        ("[promoted]", "{}", False),
        ("[failed]", "{}", True),
        ("[stale]", "{}", False),
        ("[stale]", "trigger_policy: {staleness: {max_age: 30d}}", True),
    ],
)
def test_somebody_is_told_of_failures(events: str, more: str, silent: bool) -> None:
    change = f"notifications: {{team: {{email: {{to: [a@b.example]}}, events: {events}}}}}"

    assert bool(findings("CT405", change, more)) is not silent
    assert findings("CT405", more) == [], "without notifications nobody expects one"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training: {timeout: 24h}", None),
        ("training: {timeout: 25h}", "may take 1d1h, and `30 2 * * *` fires after 1d"),
        ("training: {timeout: 9h, retries: 2}", "9h x 3 tries = 1d3h"),
        ("training: {timeout: 25h}\ntrigger_policy: {cooldown: 2d}", None),
        ("training: {timeout: 25h}\ntriggers: {weekly: {enabled: false}}", None),
    ],
)
def test_runs_end_before_the_next(change: str, said: str | None) -> None:
    found = findings("CT432", DAILY, change)

    assert [said in item.message for item in found if said] == ([True] if said else [])
    assert bool(found) is bool(said)


@pytest.mark.parametrize(
    ("change", "stale", "alarm"),
    [
        # Weekly, and one try of an hour.
        ("{}", "7d", True),
        ("{}", "7d1h", True),
        ("{}", "7d2h", False),
        ("training: {retries: 2}", "7d2h", True),
        (DAILY, "2d", False),
        ("triggers: {weekly: null, asked: {manual: {}}}\ntrigger_policy: {cooldown: 3d}", "3d", True),
        ("triggers: {weekly: null, asked: {manual: {}}}\ntrigger_policy: {cooldown: 3d}", "4d", False),
    ],
)
def test_staleness_is_longer_than_a_period(change: str, stale: str, alarm: bool) -> None:
    assert bool(findings("CT433", change, f"trigger_policy: {{staleness: {{max_age: {stale}}}}}")) is alarm


WATCHING = "triggers: {moved: {drift: {columns: [a], method: psi, max: 1, window: 1d}, exempt: %s}}"


@pytest.mark.parametrize(
    ("trigger", "policy", "endless"),
    [
        (WATCHING % "false", "{wake_every: 1h}", True),
        (WATCHING % "false", "{cooldown: 1h}", False),
        (WATCHING % "true", "{cooldown: 1h}", True),
        (WATCHING % "true", "{max_runs: {count: 5, per: 1d}}", False),
        (WATCHING % "false", "{rearm: {new_rows: 5}}", False),
        (WATCHING % "false", "{rearm: {backoff: 1d}}", False),
        ("triggers: {e: {event: {name: e}}}", "{rearm: {backoff: 1d}}", True),
        ("triggers: {e: {event: {name: e}}}", "{cooldown: 1d}", False),
        ("triggers: {e: {event: {name: e, dedupe_by: id}}}", "{wake_every: 1h}", False),
        ("triggers: {n: {new_data: {min_rows: 5}}}", "{wake_every: 1h}", False),
    ],
)
def test_runs_come_to_an_end(trigger: str, policy: str, endless: bool) -> None:
    assert bool(findings("CT298", trigger, f"trigger_policy: {policy}")) is endless


@pytest.mark.parametrize(("every", "often"), [("1h", "up to 24 a day"), ("10m", "up to 144 a day"), ("1d", "every 1d")])
def test_how_often_an_endless_loop_runs(every: str, often: str) -> None:
    [found] = findings("CT298", WATCHING % "false", f"trigger_policy: {{wake_every: {every}}}")

    assert often in found.message
