"""What a deployment promises, asked of the command line and of nothing else: so it can be asked of a real project too.

Off by default. `CTC_LIVE_SPEC` names a spec whose target is reached with this machine's credentials; `CTC_LIVE_TARGET`,
`CTC_LIVE_ENV` and `CTC_LIVE_ROW` choose among its targets, environments and rows. Nothing is started: the schedules are
left out. What was made is taken away again, but for what holds models and records.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_account import prepared

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "specs" / "everywhere.yaml"
CHOSEN = {"--target": "CTC_LIVE_TARGET", "--env": "CTC_LIVE_ENV", "--row": "CTC_LIVE_ROW"}


class Deployment:
    """One spec's deployment, driven as a person would."""

    def __init__(self, spec: Path, options: list[str], environment: Mapping[str, str]) -> None:
        self.spec, self.options, self.environment = spec, options, environment

    def ask(self, verb: str, *words: str, exits: int = 0) -> str:
        command = [sys.executable, "-m", "ctc", verb, str(self.spec), *self.options, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(self.environment), check=False)
        assert done.returncode == exits, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def verbs(self, *words: str, exits: int = 0) -> dict[str, str]:
        """What a plan would do, by address."""
        plan = json.loads(self.ask("plan", "-o", "json", "--exit-code", *words, exits=exits))
        return {f"{step['kind']}/{step['name']}": step["verb"] for step in plan["steps"]}


def holds_its_promises(deployment: Deployment, changed: Deployment) -> None:
    """Deployed, deployed again, changed in one field, taken away, and taken away again."""
    try:
        _holds(deployment, changed)
    finally:
        changed.ask("destroy", "--yes")
    assert "nothing" in changed.ask("destroy", "--yes")


def _holds(deployment: Deployment, changed: Deployment) -> None:
    deployment.ask("deploy", "--yes", "--no-start")
    first = deployment.verbs("--no-start")
    assert set(first.values()) == {"no change"}
    assert "nothing to do" in deployment.ask("deploy", "--yes", "--no-start")

    after = changed.verbs("--no-start", exits=4)
    assert "update" in after.values()
    assert set(after.values()) <= {"no change", "update", "create", "leave"}
    changed.ask("deploy", "--yes", "--no-start")
    assert set(changed.verbs("--no-start").values()) <= {"no change", "leave"}


def described_otherwise(spec: Path, folder: Path) -> Path:
    """The spec, with one row more in its holdout."""
    document: dict[str, Any] = yaml.safe_load(spec.read_text(encoding="utf-8"))
    document["retraining"]["holdout"]["min_rows"] = 1 + int(document["retraining"]["holdout"].get("min_rows", 1000))
    shutil.copytree(spec.parent, folder, dirs_exist_ok=True)
    changed = folder / spec.name
    changed.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return changed


def test_a_stand_in_keeps_the_promises(tmp_path: Path) -> None:
    options = ["--target", "sagemaker"]
    changed = described_otherwise(SPEC, tmp_path / "changed")
    # A profile of whoever runs this, or a session of theirs, must not stand before the stand-in's credentials.
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    with prepared(SPEC) as reached:
        environment = {**theirs, **reached}
        holds_its_promises(Deployment(SPEC, options, environment), Deployment(changed, options, environment))


@pytest.mark.skipif("CTC_LIVE_SPEC" not in os.environ, reason="CTC_LIVE_SPEC names no spec of a real project")
def test_a_real_project_keeps_the_promises(tmp_path: Path) -> None:
    spec = Path(os.environ["CTC_LIVE_SPEC"]).resolve()
    options = [word for option, name in CHOSEN.items() if name in os.environ for word in (option, os.environ[name])]
    changed = described_otherwise(spec, tmp_path / "changed")

    holds_its_promises(Deployment(spec, options, os.environ), Deployment(changed, options, os.environ))
