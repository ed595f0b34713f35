"""The verbs together: help, unknown words, closed streams, and what a shell completes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ctc.cli import VERBS, _group
from ctc.cli.common import guarded
from ctc.cli.completion import SHELLS

ROOT = Path(__file__).resolve().parent.parent.parent
SPEC = """\
name: x
environments: {dev: {}, prod: {}}
targets: {sagemaker: {}}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "ctc.yaml").write_text(SPEC)
    (tmp_path / "other.yaml").write_text("environments: {staging: {}}\n")
    (tmp_path / "wrong.yaml").write_text("environments: [\n")
    return tmp_path


def ask(here: Path, line: str, shell: str = "bash", cursor: int | None = None) -> list[str]:
    """What the real `ctc` tells a shell at the word `cursor` of a line, by default the last one."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "ctc"],
        cwd=here,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_CTC_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": str(len(words) - 1 if cursor is None else cursor) if shell != "fish" else words[-1],
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(_group(), [verb, "--help"]) == 0
    shown = capsys.readouterr().out

    assert "Example" in shown
    assert f"  ctc {verb}" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_known_by_its_name(verb: str) -> None:
    found = _group().get_command(click.Context(click.Group()), verb)

    assert found is not None
    assert found.name == verb


@pytest.mark.parametrize("verb", [verb[:-1] for verb in VERBS if verb[:-1] not in VERBS])
def test_an_abbreviation_of_a_verb_is_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(_group(), [verb]) == 2
    assert "did you mean `ctc " in capsys.readouterr().err


def test_an_abbreviation_of_an_option_is_refused() -> None:
    assert guarded(_group(), ["validate", "specs/minimal.yaml", "--stric"]) == 2


def test_a_failure_names_the_whole_path(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def fails() -> None:
        raise OSError(errno.EACCES, "Permission denied", "some/file")

    assert guarded(fails, []) == 3
    assert f"some/file, which is {Path.cwd()}/some/file" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_what_click_reads(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(_group(), ["completion", shell]) == 0
    script = capsys.readouterr().out

    assert f"_CTC_COMPLETE={shell}_complete" in script
    assert "_ctc_completion" in script
    assert guarded(_group(), ["completion", "tcsh"]) == 2


def test_a_real_bash_completes(here: Path) -> None:
    program = here / "ctc"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m ctc "$@"\n')
    program.chmod(0o755)
    script = (
        'source <(ctc completion bash); COMP_WORDS=(ctc validate ctc.yaml --env ""); COMP_CWORD=4; '
        '_ctc_completion ctc; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=here, env=environment, capture_output=True, text=True, timeout=60)

    assert done.stdout.split() == ["dev", "prod"], done.stderr


def test_verbs_complete_with_their_help(here: Path) -> None:
    assert ask(here, "ctc ") == [f"plain,{verb}" for verb in VERBS]
    assert ask(here, "ctc valid") == ["plain,validate"]
    assert ask(here, "ctc fm", "zsh") == ["plain", "fmt", VERBS["fmt"]]
    assert "plain,--version" in ask(here, "ctc --")


def test_options_complete(here: Path) -> None:
    assert ask(here, "ctc compile --ch") == ["plain,--check"]
    assert ask(here, "ctc runs -o j") == ["plain,json"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_environments_of_the_spec_on_the_line_complete(here: Path, shell: str) -> None:
    def words(line: str) -> list[str]:
        return [word for text in ask(here, line, shell) for word in text.split(",") if word not in ("plain", "_", "")]

    assert words("ctc compile ctc.yaml --env ") == ["dev", "prod"]
    assert words("ctc compile other.yaml --env ") == ["staging"]
    assert words("ctc validate other.yaml --env s") == ["staging"]
    assert words("ctc run --env p") == ["prod"]


def test_a_spec_behind_the_cursor_counts(here: Path) -> None:
    assert ask(here, "ctc compile --env st other.yaml", cursor=3) == ["plain,staging"]


def test_targets_complete_to_those_of_the_spec(here: Path) -> None:
    assert ask(here, "ctc compile ctc.yaml --target ") == ["plain,sagemaker", "plain,all"]
    assert ask(here, "ctc run ctc.yaml --target =") == ["plain,sagemaker"]
    assert "plain,kubeflow" in ask(here, "ctc run other.yaml --target ")


def test_a_spec_that_cannot_be_read_completes_to_nothing(here: Path) -> None:
    assert ask(here, "ctc compile wrong.yaml --env ") == []
    assert ask(here, "ctc validate nowhere.yaml --env ", cursor=4) == ["plain,dev", "plain,prod"]


def test_words_of_runs(here: Path) -> None:
    assert ask(here, "ctc runs s") == ["file,s", "plain,show"]
    assert ask(here, "ctc runs show ") == ["file,"]
