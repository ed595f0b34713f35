"""How many attempts a year triggers and their policy allow."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import yaml
from changed_spec import MINIMAL, merge

from ctc.language.attempts import attempts_per_year, scheduled
from ctc.language.spec import Spec
from ctc.language.typed import spec_from

DAILY = "nightly: {schedule: {cron: '0 3 * * *', timezone: UTC}}"
DATA = "more: {new_data: {min_rows: 100}}"


def spec_of(triggers: str, policy: str = "", more: str = "{}") -> Spec:
    tree: dict[str, Any] = yaml.safe_load(MINIMAL.read_text())
    tree["triggers"] = yaml.safe_load(f"{{{triggers}}}")
    tree["trigger_policy"] = yaml.safe_load(f"{{{policy}}}")
    merge(tree, yaml.safe_load(more))
    return spec_from(tree, "default")


@pytest.mark.parametrize(
    ("triggers", "policy", "attempts"),
    [
        (DAILY, "", 365),
        (DAILY, "cooldown: 36h", 183),
        (DAILY, "cooldown: 24h", 365),
        (DAILY, "max_runs: {count: 4, per: 28d}", 53),
        (DAILY, "max_runs: {count: 4, per: 28d}, cooldown: 7d", 53),
        (f"{DAILY}, {DAILY.replace('nightly', 'again')}", "", 365),
        (f"{DAILY}, noon: {{schedule: {{cron: '0 12 * * *', timezone: UTC}}}}", "", 730),
        (f"{DAILY}, noon: {{schedule: {{cron: '0 12 * * *', timezone: UTC}}}}", "cooldown: 20h", 365),
        (f"{DAILY}, noon: {{schedule: {{cron: '0 12 * * *', timezone: UTC}}, exempt: true}}", "cooldown: 20h", 366),
        ("w: {schedule: {cron: '0 3 * * 1', timezone: Europe/Oslo}}", "", 52),
        ("q: {schedule: {cron: '*/10 * * * *', timezone: UTC}}", "", 6 * 24 * 365),
        (DATA, "", None),
        (DATA, "cooldown: 5d", 73),
        (DATA, "max_runs: {count: 3, per: 73d}", 15),
        (DATA, "cooldown: 5d, max_runs: {count: 3, per: 73d}", 15),
        (f"{DATA}, w: {{schedule: {{cron: '0 3 1 * *', timezone: UTC}}, exempt: true}}", "cooldown: 5d", 73 + 12),
        (DATA.replace("}}", "}, exempt: true}"), "cooldown: 5d", None),
        (DATA.replace("}}", "}, enabled: false}"), "", 0),
        (DATA.replace("}}", "}, then: alert}"), "", 0),
        ("asked: {manual: {}}", "", 0),
        ("never: {schedule: {cron: '0 0 31 2 *', timezone: UTC}}", "", 0),
        ("wrong: {schedule: {cron: 'often', timezone: UTC}}", "", 0),
        ("nowhere: {schedule: {cron: '0 3 * * *', timezone: Europe/Atlantis}}", "", 0),
    ],
)
def test_the_attempts_of_a_year(triggers: str, policy: str, attempts: float | None) -> None:
    found = attempts_per_year(spec_of(triggers, policy))

    assert found == (None if attempts is None else pytest.approx(attempts, rel=1e-3))


def test_nothing_is_attempted_where_one_only_looks_on() -> None:
    assert attempts_per_year(spec_of(DAILY, more="mode: observe")) == 0


def test_what_is_scheduled_respects_the_policy() -> None:
    instants = scheduled(spec_of(DAILY, "cooldown: 30h, max_runs: {count: 3, per: 10d}"))
    gaps = [(later - earlier).days for earlier, later in pairwise(instants)]

    assert gaps[:6] == [2, 2, 6, 2, 2, 6]
