"""`ctc diff` in scratch repositories: which states are compared, what a pull request goes through, what git lacks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ctc.cli import _group
from ctc.cli.common import guarded
from ctc.diagnostics import CtcError
from ctc.diff import parallel
from ctc.diff.annotations import as_github
from ctc.diff.chosen import Chosen, Wrong, choose
from ctc.diff.compare import compare
from ctc.diff.data import as_json
from ctc.diff.group import because, groups
from ctc.diff.markdown import LIMIT, as_markdown, code, prose
from ctc.diff.meaning import Kind, Level, Meaning
from ctc.diff.model import Change, Place, Report, SpecDiff
from ctc.diff.parallel import FEW
from ctc.diff.text import as_text

ROOT = Path(__file__).resolve().parent.parent.parent
MINIMAL = (ROOT / "specs" / "minimal.yaml").read_text(encoding="utf-8")
FLOOR = "floor: {range: {metric: auc, min: 0.6}}"
SCHEMA = json.loads((ROOT / "schemas" / "diff.v1.schema.json").read_text(encoding="utf-8"))

Git = Callable[..., str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    return folder


@pytest.fixture
def git(here: Path) -> Git:
    def run(*words: str, at: Path = here) -> str:
        when = "2026-01-05T06:00:00Z"
        identity = {f"GIT_{who}_{what}": "ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        done = subprocess.run(
            ["git", *words], cwd=at, env={**os.environ, **identity, **dates}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    run("init", "-q", "-b", "main")
    return run


@pytest.fixture
def committed(here: Path, git: Git) -> Path:
    """The minimal spec, committed on `main`."""
    (here / "ctc.yaml").write_text(MINIMAL, encoding="utf-8")
    commit(git, "A spec")
    return here


def commit(git: Git, message: str) -> None:
    git("add", "-A")
    git("commit", "-q", "-m", message)


def chosen(*words: str) -> Chosen:
    return choose(words, Path.cwd(), Path.cwd().parent / "scratch")


def report(*words: str) -> Report:
    return compare(chosen(*words))


def ctc(*words: str) -> int:
    return guarded(_group(), words)


def lowered(path: Path) -> None:
    """Lowers the floor of the spec's gate, where it stands."""
    text = path.read_text(encoding="utf-8")
    assert text.count(FLOOR) == 1
    path.write_text(text.replace(FLOOR, FLOOR.replace("0.6", "0.5")), encoding="utf-8")


def test_the_working_tree_is_compared_with_a_branch(committed: Path) -> None:
    lowered(committed / "ctc.yaml")
    found = report("main")

    [spec] = found.specs
    [change] = spec.changes
    assert (found.base, found.head) == ("main", "the working tree")
    assert (change.path, change.kind, change.level) == ("promotion.gates.floor.range.min", Kind.WEAKENS, Level.HIGH)
    assert FLOOR in MINIMAL.splitlines()[change.place.line - 1]
    assert (change.place.file, change.place.side) == ("ctc.yaml", "head")


def test_two_commits_are_compared_without_the_working_tree(committed: Path, git: Git) -> None:
    lowered(committed / "ctc.yaml")
    commit(git, "Lower the floor")
    (committed / "ctc.yaml").write_text("name: [", encoding="utf-8")

    assert report("HEAD~1..HEAD").level is Level.HIGH
    assert report("HEAD~1..HEAD").specs[0].changes[0].place.file == "ctc.yaml"
    assert git("status", "--porcelain") == "M ctc.yaml"


def test_three_dots_compare_with_where_the_branch_left(committed: Path, git: Git) -> None:
    git("checkout", "-q", "-b", "mine")
    (committed / "other.yaml").write_text(MINIMAL.replace("name: late", "name: other-late"), encoding="utf-8")
    commit(git, "Another spec")
    git("checkout", "-q", "main")
    lowered(committed / "ctc.yaml")
    commit(git, "Meanwhile on main")

    assert [(spec.verb, spec.path) for spec in report("main...mine").specs] == [("added", "other.yaml")]
    assert {spec.path for spec in report("main..mine").specs} == {"ctc.yaml", "other.yaml"}


def test_paths_choose_specs_from_a_folder_below(committed: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    (committed / "a").mkdir()
    (committed / "a" / "ctc.yaml").write_text(MINIMAL.replace("name: late", "name: a-late"), encoding="utf-8")
    commit(git, "A second one")
    lowered(committed / "ctc.yaml")
    lowered(committed / "a" / "ctc.yaml")

    assert [spec.path for spec in report("HEAD", "a").specs] == ["a/ctc.yaml"]
    monkeypatch.chdir(committed / "a")
    assert [spec.path for spec in report("HEAD").specs] == ["a/ctc.yaml"]
    assert [spec.path for spec in report("HEAD", "../ctc.yaml").specs] == ["ctc.yaml"]
    with pytest.raises(CtcError, match="no spec at nowhere"):
        report("HEAD", "nowhere")


def test_a_file_that_a_spec_names_is_read_as_it_was(committed: Path, git: Git) -> None:
    text = (ROOT / "specs" / "matrix.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    start = lines.index("    rows:")
    lines[start : start + 3] = ["    from: ../countries.csv"]
    (committed / "eta").mkdir()
    (committed / "eta" / "ctc.yaml").write_text("\n".join(lines), encoding="utf-8")
    image = f"registry.example/eta@sha256:{'6d1f0c2b' * 8}"
    (committed / "countries.csv").write_text(f"country,zone,image\nno,Europe/Oslo,{image}\n", encoding="utf-8")
    commit(git, "A matrix in a file")
    (committed / "countries.csv").write_text(f"country,zone,image\nno,Europe/Riga,{image}\n", encoding="utf-8")
    found = report("HEAD", "eta")

    [spec] = found.specs
    assert [(change.path, *change.said()) for change in spec.changes] == [
        ("sources.parcels.timezone", "Europe/Oslo", "Europe/Riga"),
        ("triggers.weekly.schedule.timezone", "Europe/Oslo", "Europe/Riga"),
    ]
    (committed / "unrelated.csv").write_text("x\n", encoding="utf-8")
    git("checkout", "-q", "countries.csv")
    assert report("HEAD", "eta").unchanged == 1


def test_a_moved_spec_is_found_again(committed: Path) -> None:
    (committed / "late").mkdir()
    (committed / "ctc.yaml").rename(committed / "late" / "spec.yaml")
    lowered(committed / "late" / "spec.yaml")
    [spec] = report("HEAD").specs

    assert (spec.verb, spec.former, spec.path) == ("moved", "ctc.yaml", "late/spec.yaml")
    assert [change.path for change in spec.changes] == ["promotion.gates.floor.range.min"]


def test_a_spec_that_was_moved_and_renamed_is_found_by_its_text(committed: Path) -> None:
    text = MINIMAL.replace("name: late", "name: very-late").replace("window: 60d", "window: 30d")
    (committed / "ctc.yaml").unlink()
    (committed / "moved.yaml").write_text(text, encoding="utf-8")
    [spec] = report("HEAD").specs

    assert (spec.verb, spec.former) == ("moved", "ctc.yaml")
    assert [change.path for change in spec.changes] == ["name", "retraining.window"]


def test_a_symbolic_link_is_followed(committed: Path, git: Git) -> None:
    (committed / "linked.yaml").symlink_to("ctc.yaml")
    commit(git, "A link")
    lowered(committed / "ctc.yaml")

    assert [spec.path for spec in report("HEAD", "linked.yaml").specs] == ["linked.yaml"]


def test_two_files_and_two_folders(here: Path) -> None:
    for side in ("old", "new"):
        (here / side).mkdir()
        (here / side / "ctc.yaml").write_text(MINIMAL, encoding="utf-8")
    lowered(here / "new" / "ctc.yaml")

    assert [change.path for _, change in report("old", "new").changes()] == ["promotion.gates.floor.range.min"]
    assert report("old/ctc.yaml", "new/ctc.yaml").level is Level.HIGH
    with pytest.raises(Wrong, match="a file and a folder"):
        report("old", "new/ctc.yaml")
    with pytest.raises(Wrong, match="say what to compare it with"):
        report("old")
    with pytest.raises(CtcError, match="there is no nowhere"):
        report("old", "nowhere")
    with pytest.raises(CtcError, match="there is no file gone"):
        report("gone.yaml", "old/ctc.yaml")


def test_what_git_lacks_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CtcError, match="is in no git repository"):
        report("main")
    monkeypatch.setenv("PATH", str(here))
    with pytest.raises(CtcError, match="there is no `git` on this machine"):
        report("main")


@pytest.mark.parametrize("word", ["nope", "-x", "HEAD~99", "main..nope", "..nope", "--output=x"])
def test_a_word_that_is_no_commit(committed: Path, word: str) -> None:
    with pytest.raises(CtcError) as failure:
        report(word)

    assert failure.value.help


def test_a_shallow_clone_says_how_to_get_more(committed: Path, git: Git) -> None:
    lowered(committed / "ctc.yaml")
    commit(git, "Lower")
    clone = committed.parent / "clone"
    git("clone", "-q", "--depth", "1", committed.as_uri(), str(clone))

    with pytest.raises(CtcError) as failure:
        choose(["HEAD~1"], clone, clone.parent / "scratch")
    assert "shallow" in failure.value.help


def test_a_partial_clone_is_not_completed_from_its_remote(committed: Path, git: Git) -> None:
    git("config", "uploadpack.allowFilter", "true")
    lowered(committed / "ctc.yaml")
    commit(git, "Lower")
    clone = committed.parent / "clone"
    git("clone", "-q", "--filter=blob:none", committed.as_uri(), str(clone))

    with pytest.raises(CtcError):
        compare(choose(["HEAD~1"], clone, clone.parent / "scratch"))


def test_a_hook_may_ask(committed: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git gives its hooks the repository's place and index: they must not lead elsewhere."""
    lowered(committed / "ctc.yaml")
    monkeypatch.setenv("GIT_DIR", str(committed / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(committed / ".git" / "index"))

    assert report("HEAD").level is Level.HIGH


def test_rights_that_follow_are_told(here: Path) -> None:
    text = (ROOT / "specs" / "canary.yaml").read_text(encoding="utf-8")
    (here / "old.yaml").write_text(text, encoding="utf-8")
    (here / "new.yaml").write_text(text.replace("acme-payments/payments/", "acme-other/payments/"), encoding="utf-8")
    notes = report("old.yaml", "new.yaml").specs[0].outcome.notes

    [gains] = [note for note in notes if "identity pipeline gains" in note]
    assert "s3:GetObject` on `arn:aws:s3:::acme-other/payments/*`" in gains


def test_a_pull_request_from_branch_to_plan(
    committed: Path, git: Git, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ctc("compile", "ctc.yaml", "--out", "pipelines") == 0
    commit(git, "Compile")
    git("checkout", "-q", "-b", "lower-the-floor")
    lowered(committed / "ctc.yaml")
    commit(git, "Lower the floor")
    capsys.readouterr()

    assert ctc("validate", "ctc.yaml") == 0
    assert ctc("diff", "main...", "--exit-code") == 4
    assert "HIGH   weakens    promotion.gates.floor.range.min" in capsys.readouterr().out
    assert ctc("diff", "main...", "--fail-on", "high") == 1
    assert ctc("compile", "ctc.yaml", "--out", "pipelines", "--check") == 4
    assert ctc("compile", "ctc.yaml", "--out", "pipelines") == 0
    assert ctc("compile", "ctc.yaml", "--out", "pipelines", "--check") == 0
    # Without an account a plan ends with what it lacks, never with a traceback.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    capsys.readouterr()
    assert ctc("plan", "ctc.yaml", "--target", "sagemaker") == 3
    assert "internal error" not in capsys.readouterr().err
    git("add", "-A")
    git("commit", "-q", "-m", "Compile again")
    assert ctc("diff", "HEAD", "--exit-code") == 0
    assert ctc("diff", "HEAD", "--fail-on", "low") == 0


@pytest.mark.parametrize(
    ("name", "output"),
    [
        (b"\xff.yaml", "human"),
        (b"\xff.yaml", "json"),
        (b"a\nb.yaml", "github"),
        (b"`x`|<b>.yaml", "markdown"),
        (" \u202e .yaml".encode(), "human"),
        (" \u202e .yaml".encode(), "markdown"),
    ],
)
def test_a_file_of_any_name(
    committed: Path, git: Git, output: str, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = committed / os.fsdecode(name)
    file.write_text(MINIMAL.replace("name: late", "name: odd-late"), encoding="utf-8")
    commit(git, "A name")
    lowered(file)

    assert ctc("diff", "HEAD", "-o", output) == 0
    said = capsys.readouterr()
    assert "promotion.gates.floor.range.min" in said.out
    assert output in ("json", "github") or "\u202e" not in said.out
    file.write_text("name: [", encoding="utf-8")
    assert ctc("diff", "HEAD~1..HEAD", "-o", output) == 0
    file.write_text(MINIMAL.replace("metric: auc", "metric: acu", 1), encoding="utf-8")
    assert ctc("diff", "HEAD", "-o", output) == 1
    assert "internal error" not in capsys.readouterr().err


@pytest.mark.parametrize("output", ["human", "markdown", "json", "github"])
def test_an_invalid_head_fails_in_every_format(
    committed: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = committed / "ctc.yaml"
    path.write_text(MINIMAL.replace("metric: auc", "metric: acu", 1), encoding="utf-8")

    assert ctc("diff", "HEAD", "-o", output) == 1
    said = capsys.readouterr()
    assert "CT241" in said.out + said.err
    assert str(committed) not in said.out


def test_the_bytes_are_the_same_under_every_hash_seed(committed: Path) -> None:
    lowered(committed / "ctc.yaml")
    said = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "ctc", "diff", "HEAD", "-o", "json"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        )
        said.add(done.stdout)

    assert len(said) == 1


@pytest.mark.parametrize("spec", ["canary", "environments", "matrix", "everywhere"])
def test_the_data_conforms_to_its_schema(here: Path, spec: str) -> None:
    for side in ("old", "new"):
        (here / side).mkdir()
        shutil.copy(ROOT / "specs" / f"{spec}.yaml", here / side)
    shutil.copy(ROOT / "specs" / "minimal.yaml", here / "new")
    text = (here / "new" / f"{spec}.yaml").read_text(encoding="utf-8")
    (here / "new" / f"{spec}.yaml").write_text(text.replace("not_worse:", "worse:", 1), encoding="utf-8")
    document: dict[str, Any] = json.loads(as_json(report("old", "new")))

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    assert {item["verb"] for item in document["specs"]} == {"changed", "added"}


def many(count: int, length: int = 0, alike: bool = False) -> Report:
    """A report of so many specs, each with one change whose values have so many characters."""
    meaning = Meaning(Kind.WEAKENS, Level.HIGH, "worse models pass")

    def spec(number: int) -> SpecDiff:
        now = "x" * length + ("" if alike else str(number))
        change = Change("promotion.gates.floor", Place("head", f"{number}.yaml", 3), "y", now, meaning)
        return SpecDiff("changed", f"{number}.yaml", f"n{number}", (change,), former=f"{number}.yaml")

    return Report("main", "HEAD", tuple(spec(number) for number in range(count)), 3412)


@pytest.mark.parametrize(("count", "length"), [(1, 10**6), (300, 100), (2000, 160)])
def test_a_comment_fits_and_says_what_was_cut(count: int, length: int) -> None:
    said = as_markdown(many(count, length))

    assert len(said.encode()) <= LIMIT
    seen = said.count("🔴 HIGH")
    assert seen == count or f"{count - seen:,} changes" in said.splitlines()[-1]


def test_specs_that_changed_alike_are_told_once() -> None:
    [group] = groups(many(88, alike=True))

    assert because(group) == "88 specs changed because of promotion.gates.floor"
    said = as_text(many(88, alike=True))
    assert "3,412 unchanged" in said
    assert said.count("worse models pass") == 1


def test_many_specs_are_compared_in_several_processes_as_in_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("old", "new"):
        (here / side).mkdir()
        for number in range(FEW):
            text = MINIMAL.replace("name: late", f"name: n{number}-late")
            added = FLOOR.replace("floor", "floor_too") if side == "new" else ""
            text = text.replace(FLOOR, f"{FLOOR}\n    {added}") if added else text
            (here / side / f"{number}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(parallel, "_processors", lambda: 2)
    in_two = report("old", "new")
    monkeypatch.setattr(parallel, "_processors", lambda: 1)

    assert in_two == report("old", "new")
    assert f"{FEW} specs changed because of promotion.gates.floor_too" in as_text(in_two)
    assert "(none) → {range: {metric: auc, min: 0.6}}" in as_text(in_two)


def test_specs_that_are_new_are_told_once(here: Path) -> None:
    (here / "old").mkdir()
    (here / "new").mkdir()
    (here / "old" / "kept.yaml").write_text(MINIMAL, encoding="utf-8")
    for name in ("kept", "a", "b", "c"):
        text = MINIMAL.replace("name: late", f"name: {name}-late") if name != "kept" else MINIMAL
        (here / "new" / f"{name}.yaml").write_text(text, encoding="utf-8")
    found = report("old", "new")

    assert [because(group) for group in groups(found)] == ["3 specs added, such as a.yaml"]
    assert found.unchanged == 1
    assert found.level is Level.MEDIUM
    gone = report("new", "old")
    assert [because(group) for group in groups(gone)] == ["3 specs removed, such as a.yaml"]
    assert gone.level is Level.HIGH


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("a|b", "`a\\|b`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("a\nb", "`a⏎b`"),
        ("a\u202eb\x1b", "`a\\u{202e}b\\u{1b}`"),
        ("", "`   `"),
    ],
)
def test_code_spans_end_where_they_should(text: str, span: str) -> None:
    assert code(text) == span


def test_prose_calls_nobody() -> None:
    assert prose("see @octocat, #12 and <b> `x|y` *z*") == (
        "see @\u200boctocat, #\u200b12 and &lt;b&gt; `x\\|y` \\*z\\*"
    )


def test_a_workflow_command_keeps_to_its_line() -> None:
    meaning = Meaning(Kind.DATA, Level.MEDIUM, "why")
    change = Change("x", Place("head", "a,b.yaml", 2), "1%", "a\nb", meaning)
    said = as_github(Report("a", "b", (SpecDiff("changed", "p", "n", (change,)),), 0), Level.MEDIUM)

    assert said == '::error file=a%2Cb.yaml,line=2,title=medium%3A data::x: 1%25 → "a\\nb": why\n'


def test_next_wakes_are_told_from_a_moment(committed: Path) -> None:
    text = MINIMAL.replace('cron: "30 2 * * 1"', 'cron: "30 2 * * 2"')
    (committed / "ctc.yaml").write_text(text, encoding="utf-8")
    from_commit = [number.what for number in report("HEAD").specs[0].outcome.numbers]
    later = compare(chosen("HEAD"), datetime(2027, 2, 3, 4, tzinfo=UTC))

    assert "next wakes by schedule after 2026-01-05 06:00 UTC" in from_commit
    assert "next wakes by schedule after 2027-02-03 04:00 UTC" in [
        number.what for number in later.specs[0].outcome.numbers
    ]
