"""The files for CI: valid by the services' own schemas, pinned, their scripts run on a repository and an account.

GitHub and GitLab are stood in for by two programs that keep comments: `gh` and `curl`, first on the path.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_account import prepared

from ctc.init import ci

ROOT = Path(__file__).resolve().parent.parent
JUDGES = ROOT / ".venv" / "judges" / "ci" / "bin"
SCHEMAS = {
    ".github/workflows/ctc.yml": ["vendor.github-workflows"],
    ".github/actions/ctc/action.yml": ["vendor.github-actions"],
    ".gitlab/ctc.gitlab-ci.yml": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}
GH = """
import json, pathlib, sys
words, kept = sys.argv[1:], pathlib.Path("comments.json")
comments = json.loads(kept.read_text()) if kept.exists() else []
assert words[0] == "api", words
if any("/environments/" in word for word in words):
    print(pathlib.Path("reviewers").read_text())
    sys.exit()
bodies = [word.removeprefix("body=@") for word in words if word.startswith("body=@")]
body = pathlib.Path(bodies[0]).read_text() if bodies else None
if "--jq" in words:
    assert 'startswith("<!-- ctc-diff -->")' in words[-1]
    assert 'select(.user.login == "github-actions[bot]" and ' in words[-1]
    print("\\n".join(str(number) for number, text in enumerate(comments) if text.startswith("<!-- ctc-diff -->")))
elif "PATCH" in words:
    comments[int(next(word for word in words if "/issues/comments/" in word).rpartition("/")[2])] = body
else:
    assert any(word == "repos/acme/models/issues/7/comments" for word in words), words
    comments.append(body)
kept.write_text(json.dumps(comments))
"""
CURL = """
import json, pathlib, sys
words, kept = sys.argv[1:], pathlib.Path("comments.json")
comments = json.loads(kept.read_text()) if kept.exists() else []
assert "PRIVATE-TOKEN: secret" in words
address = next(word for word in words if word.startswith("https://gitlab.example/api/v4/"))
if address.endswith("/user"):
    said, headers = {"id": 3}, ""
elif "-X" not in words:
    # Somebody else has written the mark before us, and a hundred notes come before ours.
    assert address.partition("?")[0].endswith("/projects/5/merge_requests/7/notes")
    page = int(address.rpartition("page=")[2])
    others = [{"id": 900 + number, "author": {"id": 4}, "body": "<!-- ctc-diff --> mine"} for number in range(100)]
    ours = [{"id": number, "author": {"id": 3}, "body": text} for number, text in enumerate(comments)]
    said, headers = (others, "X-Next-Page: 2\\r\\n") if page == 1 else (ours, "X-Next-Page: \\r\\n")
else:
    body = pathlib.Path(words[words.index("--data-urlencode") + 1].partition("@")[2]).read_text()
    if words[words.index("-X") + 1] == "PUT":
        comments[int(address.rpartition("/")[2])] = body
    else:
        comments.append(body)
    kept.write_text(json.dumps(comments))
    said, headers = {}, ""
if "-D" in words:
    pathlib.Path(words[words.index("-D") + 1]).write_text("HTTP/2 200\\r\\n" + headers)
pathlib.Path(words[words.index("-o") + 1]).write_text(json.dumps(said))
"""


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a spec, its CI files, and on a branch a weaker gate."""
    folder = tmp_path / "models"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    shutil.copy(ROOT / "specs" / "everywhere.yaml", folder / "ctc.yaml")
    for service in ci.FILES:
        ci.write(ci.files(folder / "ctc.yaml", service), force=False)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "switch", "-q", "-c", "weaker")
    weaken(folder, "0.6", "0.55")
    return folder


def weaken(folder: Path, was: str, now: str) -> None:
    spec = folder / "ctc.yaml"
    text = spec.read_text()
    assert f"min: {was}" in text
    spec.write_text(text.replace(f"min: {was}", f"min: {now}"))
    git(folder, "commit", "-q", "-a", "-m", f"the floor is {now}")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """An environment in which `ctc` is this one, and `gh` and `curl` are the stand-ins."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("gh", GH), ("curl", CURL)):
        (programs / name).write_text(f"#!{sys.executable}\n{text}")
        (programs / name).chmod(0o755)
    for name in ("ctc", "python"):
        (programs / name).symlink_to(Path(sys.executable).parent / name)
    (tmp_path / "runner").mkdir()
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GITHUB_", "CI"))}
    yield {
        **theirs,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path / "runner"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_REPOSITORY": "acme/models",
    }


def run(script: str, folder: Path, environment: Mapping[str, str], exits: int = 0) -> str:
    """As GitHub runs a step whose shell is `bash`."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == exits, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def workflow(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / ".github/workflows/ctc.yml").read_text())
    return found


def scripts(folder: Path, job: str) -> list[tuple[str, dict[str, str]]]:
    steps = workflow(folder)["jobs"][job]["steps"]
    return [(step["run"], step.get("env", {})) for step in steps if "run" in step]


@pytest.mark.parametrize("spec", ["everywhere", "environments", "matrix", "canary", "minimal"])
def test_the_services_own_schemas_take_them(spec: str, tmp_path: Path) -> None:
    judge = JUDGES / "check-jsonschema"
    if not judge.is_file():
        assert os.environ.get("CTC_REQUIRE_TOOLS") != "1", f"{judge} is not there"
        pytest.skip(f"{judge} is not there: `make test` installs it")
    shutil.copy(ROOT / "specs" / f"{spec}.yaml", tmp_path / "ctc.yaml")
    for service in ci.FILES:
        ci.write(ci.files(tmp_path / "ctc.yaml", service), force=False)

    for path, schema in SCHEMAS.items():
        command = [str(judge), "--builtin-schema", *schema, str(tmp_path / path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_actions_are_pinned_and_no_foreign_text_is_in_a_script(repository: Path) -> None:
    texts = [(repository / path).read_text() for path in ci.FILES["github"]]

    used = [name for text in texts for name in re.findall(r"uses: (\S+)", text)]
    assert used
    assert all(name.startswith("./") or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", name) for name in used)
    for job in workflow(repository)["jobs"]:
        for script, named in scripts(repository, job):
            assert "${{" not in script
            free = set(re.findall(r"\$\{?([A-Z_]+)", script)) - set(named)
            assert free <= {"SPEC", "RUNNER_TEMP", "GITHUB_STEP_SUMMARY", "GITHUB_REPOSITORY"}


def test_no_job_may_more_than_it_needs(repository: Path) -> None:
    found = workflow(repository)

    assert found["permissions"] == {}
    assert {name: job["permissions"] for name, job in found["jobs"].items()} == {
        "review": {"contents": "read", "pull-requests": "write"},
        "plan": {"actions": "read", "contents": "read", "id-token": "write"},
        "deploy": {"contents": "read", "id-token": "write"},
    }
    assert found["jobs"]["deploy"]["needs"] == "plan"
    assert found["jobs"]["deploy"]["environment"] == "ctc-${{ matrix.name }}"


def test_github_says_what_a_change_means_in_one_comment(repository: Path, shell: Mapping[str, str]) -> None:
    base = git(repository, "rev-parse", "main")
    given = {**shell, "SPEC": "ctc.yaml", "BASE": base, "NUMBER": "7", "GH_TOKEN": "token"}

    for script, _ in scripts(repository, "review"):
        run(script, repository, given)
    [first] = json.loads((repository / "comments.json").read_text())
    weaken(repository, "0.55", "0.5")
    for script, _ in scripts(repository, "review"):
        run(script, repository, given)

    [second] = json.loads((repository / "comments.json").read_text())
    assert "`0.6` → `0.55`" in first
    assert "`0.6` → `0.5`" in second
    assert first in Path(shell["GITHUB_STEP_SUMMARY"]).read_text()


def test_a_spec_with_errors_fails_and_the_comment_says_why(repository: Path, shell: Mapping[str, str]) -> None:
    spec = repository / "ctc.yaml"
    spec.write_text(spec.read_text().replace("role: rows", "role: row"))
    given = {**shell, "SPEC": "ctc.yaml", "BASE": "main", "NUMBER": "7", "GH_TOKEN": "token"}
    git(repository, "commit", "-q", "-a", "-m", "a slip")
    validate, diff, comment = (script for script, _ in scripts(repository, "review"))

    run(validate, repository, given, exits=1)
    run(diff, repository, given, exits=1)
    run(comment, repository, given)

    [said] = json.loads((repository / "comments.json").read_text())
    assert "CT104" in said


def test_gitlab_says_it_too(repository: Path, shell: Mapping[str, str]) -> None:
    text = (repository / ".gitlab/ctc.gitlab-ci.yml").read_text().replace("!reference ", "")
    review = yaml.safe_load(text)["ctc review"]["script"]
    given = {
        **shell,
        "SPEC": "ctc.yaml",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": git(repository, "rev-parse", "main"),
        "CI_API_V4_URL": "https://gitlab.example/api/v4",
        "CI_PROJECT_ID": "5",
        "CI_MERGE_REQUEST_IID": "7",
    }

    assert "`0.6` → `0.55`" in run("\n".join(review), repository, given)
    for _ in range(2):
        run("\n".join(review), repository, {**given, "CTC_COMMENT_TOKEN": "secret"})

    [said] = json.loads((repository / "comments.json").read_text())
    assert "`0.6` → `0.55`" in said


def test_what_was_planned_is_deployed_and_nothing_else(repository: Path, shell: Mapping[str, str]) -> None:
    [deployment] = workflow(repository)["jobs"]["deploy"]["strategy"]["matrix"]["include"]
    chosen = {"TARGET": deployment["target"], "ENVIRONMENT": deployment["environment"], "ROW": deployment["row"]}
    (plan, _), (approval, _) = scripts(repository, "plan")
    [(deploy, _)] = scripts(repository, "deploy")
    for reviewers, exits in (("0", 1), ("1", 0)):
        (repository / "reviewers").write_text(reviewers)
        run(approval, repository, {**shell, "NAME": "ctc-sagemaker"}, exits=exits)

    with prepared(repository / "ctc.yaml") as reached:
        given = {**shell, **reached, **chosen, "SPEC": "ctc.yaml"}
        assert "to create" in run(plan, repository, given)
        assert "deployed" in run(deploy, repository, given)
        run(deploy, repository, given, exits=3)
        assert "nothing to do" in run(plan, repository, given)
    assert "to create" in Path(shell["GITHUB_STEP_SUMMARY"]).read_text()


def test_every_deployment_of_a_spec_has_its_jobs(tmp_path: Path) -> None:
    shutil.copy(ROOT / "specs" / "environments.yaml", tmp_path / "ctc.yaml")
    ci.write(ci.files(tmp_path / "ctc.yaml", "github"), force=False)

    jobs = workflow(tmp_path)["jobs"]
    if "deploy" in jobs:
        named = [item["environment"] for item in jobs["deploy"]["strategy"]["matrix"]["include"]]
        assert set(named) <= {"dev", "prod"}
        assert jobs["deploy"]["strategy"] == jobs["plan"]["strategy"]


def test_what_somebody_changed_is_not_overwritten(repository: Path) -> None:
    found = ci.files(repository / "ctc.yaml", "github")
    assert ci.write(found, force=False) == ()
    mine = repository / ".github/workflows/ctc.yml"
    mine.write_text(mine.read_text() + "# mine\n")

    with pytest.raises(ci.CtcError, match="not what this version writes"):
        ci.write(found, force=False)
    assert mine.read_text().endswith("# mine\n")
    assert ci.write(found, force=True) == (mine,)


@pytest.fixture
def hooked(repository: Path) -> Path:
    """The repository with this project's hooks, run by the `ctc` that is here and not by one from an index."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    local = [{**hook, "language": "system"} for hook in hooks]
    config = {"repos": [{"repo": "local", "hooks": local}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (repository / "specs").mkdir()
    (repository / "specs" / "with a space.yaml").write_text((ROOT / "specs" / "minimal.yaml").read_text())
    (repository / "values.yaml").write_text("not: a spec\n")
    return repository


def test_pre_commit_runs_the_hooks(hooked: Path, shell: Mapping[str, str], tmp_path: Path) -> None:
    judge = JUDGES / "pre-commit"
    if not judge.is_file():
        assert os.environ.get("CTC_REQUIRE_TOOLS") != "1", f"{judge} is not there"
        pytest.skip(f"{judge} is not there: `make test` installs it")
    given = {**shell, "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"), "GIT_CONFIG_GLOBAL": os.devnull}
    run("ctc compile ctc.yaml --out build && git add -A", hooked, given)

    run(f"'{judge}' run --all-files", hooked, given)

    spec = hooked / "specs" / "with a space.yaml"
    spec.write_text(spec.read_text().replace("range:", "rang:"))
    weakened = hooked / "ctc.yaml"
    weakened.write_text(weakened.read_text().replace("window: 60d", "window: P61D"))
    said = run(f"git add -A; '{judge}' run --all-files", hooked, given, exits=1)
    results = dict(re.findall(r"^(ctc [\w -]+?)\.+(Passed|Failed)$", said, re.MULTILINE))
    assert results == {"ctc validate": "Failed", "ctc fmt": "Failed", "ctc compile --check": "Failed"}
    assert "with a space.yaml" in said
    assert "values.yaml" not in said
