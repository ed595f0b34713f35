"""The shim as a platform runs it: a process of its own, the source given as a file or as text."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ctc.targets.shim import PROGRAMS, program

SHIM = program("shim")
WRITE = "import os; open(os.path.join(os.environ['CTC_MODEL'], 'm'), 'w').write('x')"


def shim_file(folder: Path) -> Path:
    file = folder / ".shim.py"
    file.write_text(SHIM)
    return file


def run(
    *words: str | Path, cwd: Path, text: bool = False, **environment: str | Path
) -> subprocess.CompletedProcess[str]:
    """Runs the shim isolated from this project: `-I` leaves it nothing but the standard library."""
    source = ["-c", SHIM] if text else [str(shim_file(cwd))]
    return subprocess.run(
        [sys.executable, "-I", *source, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **{key: str(value) for key, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=60,
    )


def train(folder: Path, *command: str, options: tuple[str, ...] = (), **environment: str | Path) -> tuple[Any, Any]:
    """Runs a train step below `folder`; the finished process and its status file."""
    (folder / "train").mkdir(exist_ok=True)
    done = run(
        *["--step", "train", "--input", f"train={folder / 'train'}", "--output", f"model={folder / 'model'}"],
        *["--failure", folder / "failure", *options, "--", *command],
        cwd=folder,
        CTC_STATUS_DIR=folder / "status",
        **environment,
    )
    return done, json.loads((folder / "status" / "train.json").read_text())


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_python_3_7_and_nothing_that_kubeflow_would_replace(name: str) -> None:
    source = program(name)
    ast.parse(source, feature_version=(3, 7))
    imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name.name for node in imported if isinstance(node, ast.Import) for name in node.names}
    names |= {str(node.module) for node in imported if isinstance(node, ast.ImportFrom)}
    # Looked for where it runs, and told if it is not there.
    assert {name.partition(".")[0] for name in names} - {"boto3"} <= sys.stdlib_module_names
    # The local runner replaces these words in every element of a command, source text included.
    assert "{{" not in source
    assert "python3" not in source


def test_placeholders_and_variables_are_the_folders(tmp_path: Path) -> None:
    code = f"import sys; print('GOT', sys.argv[1:]); {WRITE}"
    done, status = train(tmp_path, sys.executable, "-c", code, "--data={train}", "{model}", '{"json": 1}')

    assert done.returncode == 0, done.stderr
    assert f"GOT ['--data={tmp_path / 'train'}', '{tmp_path / 'model'}', '{{\"json\": 1}}']" in done.stdout
    assert (tmp_path / "model" / "m").read_text() == "x"
    assert {**status, "seconds": 0} == {"step": "train", "status": "ok", "exit_code": 0, "error": "", "seconds": 0}
    assert not (tmp_path / "failure").exists()


def test_the_users_code_is_told_no_secret_of_a_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTC_SECRET_SLACK", "hook")
    monkeypatch.setenv("CTC_SMTP_HOST", "mail")
    code = f"import os; print('SEES', sorted(n for n in os.environ if n.startswith('CTC_S'))); {WRITE}"
    done, _ = train(tmp_path, sys.executable, "-c", code)

    assert "SEES ['CTC_STATUS_DIR']" in done.stdout


def test_a_failure_says_the_code_and_the_last_lines(tmp_path: Path) -> None:
    code = "import sys\nfor n in range(40): print('line', n, flush=True)\nprint('why', file=sys.stderr); sys.exit(7)"
    done, status = train(tmp_path, sys.executable, "-c", code)

    assert done.returncode == 7
    assert "line 0\n" in done.stdout
    assert "exited with code 7" in status["error"]
    assert status["error"].endswith("line 39\nwhy")
    assert "line 20\n" not in status["error"]
    assert status["exit_code"] == 7
    assert (tmp_path / "failure").read_text() == status["error"]
    assert status["error"] in done.stderr


def test_writing_nothing_is_a_failure(tmp_path: Path) -> None:
    done, status = train(tmp_path, sys.executable, "-c", "print('I did nothing')")

    assert done.returncode == 1
    assert "wrote nothing to {model}" in status["error"]


def test_predictions_must_be_the_file(tmp_path: Path) -> None:
    code = "import os, sys; open(os.path.join(os.path.dirname(sys.argv[1]), 'other.csv'), 'w')"
    words = ["--step", "predict-contender", "--output", f"predictions={tmp_path / 'p'}"]
    done = run(*words, "--", sys.executable, "-c", code, "{predictions}", cwd=tmp_path)
    assert done.returncode == 1
    assert "did not write the file {predictions} but other.csv" in done.stderr

    code = "import sys; open(sys.argv[1], 'w')"
    done = run(*words, "--", sys.executable, "-c", code, "{predictions}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["predictions.parquet"]


def test_time_up_ends_the_whole_group(tmp_path: Path) -> None:
    child = f"import time, os; time.sleep(2); open({str(tmp_path / 'survivor')!r}, 'w')"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    start = time.monotonic()
    done, status = train(tmp_path, sys.executable, "-c", code, options=("--timeout", "1"))

    assert done.returncode == 124
    assert time.monotonic() - start < 15
    assert "ran longer than 1 seconds" in status["error"]
    time.sleep(2.5)
    assert not (tmp_path / "survivor").exists()


def test_retries_start_from_an_empty_folder(tmp_path: Path) -> None:
    code = f"""
import os, sys
model, count = os.environ['CTC_MODEL'], {str(tmp_path / "count")!r}
assert not os.listdir(model), os.listdir(model)
number = len(open(count).read()) if os.path.exists(count) else 0
open(count, 'a').write('.')
os.makedirs(os.path.join(model, 'part', str(number)))
sys.exit(0 if number == 2 else 3)
"""
    done, status = train(tmp_path, sys.executable, "-c", code, options=("--retries", "2"))

    assert done.returncode == 0, done.stdout
    assert status["status"] == "ok"
    assert os.listdir(tmp_path / "model" / "part") == ["2"]
    (tmp_path / "count").write_text("")
    done, status = train(tmp_path, sys.executable, "-c", code, options=("--retries", "1"))
    assert done.returncode == 3
    assert "(2 tries)" in status["error"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["{trian}"], "unknown placeholder {trian}"),
        (["no-such-program"], "cannot run 'no-such-program'"),
        (
            [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"],
            "ended by signal 9, most often for lack of memory",
        ),
    ],
)
def test_other_failures_are_one_message(command: list[str], said: str, tmp_path: Path) -> None:
    done, status = train(tmp_path, *command)

    assert done.returncode != 0
    assert said in status["error"]
    assert "Traceback" not in done.stderr


def champion(folder: Path, document: dict[str, Any] | None, *options: str, **environment: str | Path) -> Any:
    (folder / "request").mkdir(exist_ok=True)
    (folder / "request" / "request.json").write_text(json.dumps({"champion": document}))
    inputs = [f"--input={name}={folder / name}" for name in ("request", "rows", "model")]
    words = ["--step", "predict-champion", *inputs, "--output", f"predictions={folder / 'predictions'}"]
    return run(*words, *options, cwd=folder, **environment)


def test_without_a_champion_the_answer_is_absent(tmp_path: Path) -> None:
    done = champion(tmp_path, None)

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "predictions" / "absent.json").read_text())["version"] == 1


def test_the_champion_predicts_from_its_own_copy_of_its_code(tmp_path: Path) -> None:
    for digest in ("old", "new"):
        (tmp_path / "store" / digest).mkdir(parents=True)
        (tmp_path / "store" / digest / "predict.py").write_text(f"import sys; open(sys.argv[1], 'w').write('{digest}')")
    document = {"predict": [sys.executable, "predict.py", "{predictions}"], "code": "old"}
    done = champion(tmp_path, document, CTC_CODE_STORE=tmp_path / "store", CTC_CODE="new")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "predictions" / "predictions.parquet").read_text() == "old"

    done = champion(tmp_path, {**document, "code": "gone"}, CTC_CODE_STORE=tmp_path / "store")
    assert done.returncode == 0
    told = json.loads((tmp_path / "predictions" / "not_comparable.json").read_text())
    assert "copy of its code is gone" in told["reason"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('no column x'); raise SystemExit(3)", "no column x"),
        ("import time; time.sleep(60)", "ran longer than 1 seconds"),
        ("pass", "wrote nothing to {predictions}"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
    ],
)
def test_a_champion_that_cannot_be_run_is_not_comparable(code: str, reason: str, tmp_path: Path) -> None:
    document = {"predict": [sys.executable, "-c", code, "{predictions}"], "code": ""}
    done = champion(tmp_path, document, "--retries=1", "--timeout=1")

    assert done.returncode == 0, done.stderr
    [file] = (tmp_path / "predictions").iterdir()
    assert file.name == "not_comparable.json"
    told = json.loads(file.read_text())
    assert reason in told["reason"]
    assert reason in done.stdout, "the log says it too"


def test_a_champion_that_the_platform_stops_is_no_answer(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    done = champion(tmp_path, {"predict": [sys.executable, "-c", code, "{predictions}"], "code": ""})

    assert done.returncode == 143
    assert not (tmp_path / "predictions" / "not_comparable.json").exists()


def test_kubeflows_executor_input(tmp_path: Path) -> None:
    told = {
        "inputs": {"artifacts": {"train": {"artifacts": [{"name": "t", "uri": "s3://bucket/root/data"}]}}},
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"name": "m", "uri": str(tmp_path / "task" / "model")}]}},
            "outputFile": str(tmp_path / "task" / "executor_output.json"),
        },
    }
    words = ["--step", "train", "--executor_input", json.dumps(told), "--executor-main", "kfp.dsl.executor_main"]
    done = run(
        *[*words, "--", sys.executable, "-c", f"import os; print(os.environ['CTC_TRAIN']); {WRITE}"],
        cwd=tmp_path,
        text=True,
        CTC_MOUNTS=json.dumps({"s3://bucket/root": str(tmp_path / "mounted")}),
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path}/mounted/data\n"
    output = json.loads((tmp_path / "task" / "executor_output.json").read_text())
    artifact = {"name": "m", "uri": str(tmp_path / "task" / "model"), "metadata": {}}
    assert output == {"artifacts": {"model": {"artifacts": [artifact]}}}


@pytest.mark.parametrize(
    ("artifact", "path"),
    [
        ({"uri": "gs://b/x"}, "/gcs/b/x"),
        ({"uri": "s3://b/x/y"}, "/s3/b/x/y"),
        ({"uri": "minio://b/x"}, "/minio/b/x"),
        ({"uri": "/plain/x"}, "/plain/x"),
        ({"uri": "file:///plain/x"}, "/plain/x"),
        ({"uri": "s3://b/x", "customPath": "/elsewhere"}, "/elsewhere"),
        ({"uri": "s3://m/x"}, "/local/x"),
        ({"uri": "s3://m"}, "/local/"),
        ({"uri": "s3://mm/x"}, "/s3/mm/x"),
    ],
)
def test_where_an_artifact_is_mounted(artifact: dict[str, Any], path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ctc.steps.shim_files import artifact_path

    monkeypatch.setenv("CTC_MOUNTS", '{"s3://m": "/local"}')
    assert artifact_path(artifact) == path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_it_dies_with_its_parent_where_asked(tmp_path: Path) -> None:
    begun, survivor = str(tmp_path / "begun"), str(tmp_path / "survivor")
    code = f"import time; open({begun!r}, 'w'); time.sleep(1.5); open({survivor!r}, 'w')"
    words = [sys.executable, str(shim_file(tmp_path)), "--step", "train", "--output", f"model={tmp_path / 'm'}", "--"]
    parent = f"import subprocess; subprocess.run({[*words, sys.executable, '-c', code]!r})"
    process = subprocess.Popen([sys.executable, "-c", parent], env={**os.environ, "CTC_DIE_WITH_PARENT": "1"})
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(2)
    assert not (tmp_path / "survivor").exists()


@pytest.mark.parametrize(
    ("then", "ended", "how"),
    [
        ("signal.signal(15, signal.SIG_DFL), signal.raise_signal(15)", 128 + signal.SIGTERM, "was ended by signal 15"),
        ("sys.exit(7)", 7, "exited with code 7"),
    ],
)
def test_a_platform_that_ends_the_job_is_obeyed_at_once(then: str, ended: int, how: str, tmp_path: Path) -> None:
    """SIGTERM reaches the command, which may save what it has; there is no second try."""
    begun, told = str(tmp_path / "begun"), str(tmp_path / "told")
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({told!r}, 'a').write('x'), {then}))\n"
        f"open({begun!r}, 'w').close(); time.sleep(30)"
    )
    words = [
        "--step",
        "train",
        "--output",
        f"model={tmp_path / 'm'}",
        "--retries",
        "3",
        "--",
        sys.executable,
        "-c",
        code,
    ]
    process = subprocess.Popen([sys.executable, str(shim_file(tmp_path)), *words], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)

    assert process.returncode == ended
    assert (tmp_path / "told").read_text() == "x"
    assert f"{how}; it printed nothing" in said


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def given(folder: Path, uri: Path, digest: str) -> subprocess.CompletedProcess[str]:
    words = ["--step", "train", "--input", f"input_base-weights={uri}", "--output", f"model={folder / 'model'}"]
    code = f"import sys, os; print('AT', sys.argv[1], os.environ['CTC_INPUTS_BASE_WEIGHTS'] == sys.argv[1]); {WRITE}"
    words += ["--digest", f"input_base-weights=sha256:{digest}", "--", sys.executable, "-c", code]
    return run(*words, "{inputs.base-weights}", cwd=folder)


def test_a_file_is_what_its_digest_says_also_in_the_folder_around_it(tmp_path: Path) -> None:
    """Kubeflow hands over the file, SageMaker a folder that holds it."""
    file = tree(tmp_path / "w", {"m.bin": "weights"}) / "m.bin"
    digest = hashlib.sha256(b"weights").hexdigest()

    for place in (file, file.parent):
        done = given(tmp_path, place, digest)
        assert done.returncode == 0, done.stderr
        assert f"AT {file} True" in done.stdout


def test_the_digest_of_a_folder_is_that_of_what_sha256sum_prints(tmp_path: Path) -> None:
    folder = tree(tmp_path / "w", {"b.bin": "2", "a/z é": "1", "a.txt": "3", "A": "4"})
    names = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    digest = subprocess.run(names, shell=True, cwd=folder, capture_output=True, text=True, check=True).stdout.split()[0]

    done = given(tmp_path, folder, digest)
    assert done.returncode == 0, done.stderr
    assert f"AT {folder} True" in done.stdout
    (folder / "b.bin").write_text("changed")
    done = given(tmp_path, folder, digest)
    assert done.returncode == 1
    assert "the input `base-weights` is not what the spec says: it is sha256:" in done.stderr
    assert "is not there" in given(tmp_path, tmp_path / "gone", digest).stderr


def test_checkpoints_outlive_a_try_and_the_base_model_may_be_nothing(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "absent.json").write_text("{}")
    code = """
import os, sys
state, base = sys.argv[1:]
assert os.environ["CTC_CHECKPOINTS"] == state and os.environ["CTC_BASE_MODEL"] == base and not os.listdir(base)
tries = len(os.listdir(state))
open(os.path.join(state, str(tries)), "w").close()
open(os.path.join(os.environ["CTC_MODEL"], "m"), "w").close()
sys.exit(0 if tries == 1 else 9)
"""
    options = ("--input", f"base_model={tmp_path / 'base'}", "--checkpoints", f"{tmp_path}/kept", "--retries", "1")
    done, status = train(tmp_path, sys.executable, "-c", code, "{checkpoints}", "{base_model}", options=options)

    assert done.returncode == 0, status["error"]
    assert sorted(os.listdir(tmp_path / "kept")) == ["0", "1"]


COPY = "import os, shutil, sys; shutil.copy(sys.argv[1] + '/n', sys.argv[2]); print('WITH', os.listdir(sys.argv[3]))"


def test_prepare_fits_then_applies_to_each_part(tmp_path: Path) -> None:
    words = ["--step", "prepare"]
    for name in ("train", "valid"):
        tree(tmp_path / name, {"n": name})
        words += ["--input", f"{name}={tmp_path / name}", "--output", f"ready_{name}={tmp_path / 'ready' / name}"]
    words += ["--output", f"prepared={tmp_path / 'prepared'}", "--apply", "6", "--"]
    words += [sys.executable, "-c", COPY, "{rows}", "{out}", "{prepared}"]
    fit = "import sys; open(sys.argv[2] + '/learnt', 'w').write(sys.argv[1])"
    done = run(*words, sys.executable, "-c", fit, "{train}", "{prepared}", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("WITH ['learnt']") == 2
    assert (tmp_path / "ready" / "train" / "n").read_text() == "train"
    assert (tmp_path / "ready" / "valid" / "n").read_text() == "valid"
    assert (tmp_path / "prepared" / "learnt").read_text() == str(tmp_path / "train")


def test_what_was_learnt_goes_with_the_model_and_meets_its_rows(tmp_path: Path) -> None:
    tree(tmp_path / "prepared", {"learnt": "mine"})
    done, _ = train(tmp_path, sys.executable, "-c", WRITE, options=("--input", f"prepared={tmp_path / 'prepared'}"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "ctc-prepared" / "learnt").read_text() == "mine"

    tree(tmp_path / "rows", {"n": "rows"})
    predict = "import sys; open(sys.argv[2], 'w').write(open(sys.argv[1] + '/n').read())"
    document = {
        "predict": [sys.executable, "-c", predict, "{rows}", "{predictions}"],
        "prepare": {"apply": [sys.executable, "-c", COPY + "; open(sys.argv[2] + '/n', 'a').write('!')"]},
        "code": "",
    }
    document["prepare"]["apply"] += ["{rows}", "{out}", "{prepared}"]  # type: ignore[index,operator]
    done = champion(tmp_path, document)
    assert done.returncode == 0, done.stderr
    assert "WITH ['learnt']" in done.stdout
    assert (tmp_path / "predictions" / "predictions.parquet").read_text() == "rows!"
    assert (tmp_path / "rows" / "n").read_text() == "rows"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"csv": {"delimiter": ","}}, "another format"),
        ({"inputs": {"w": "sha256:0"}}, "another `w`"),
        ({"csv": None, "inputs": {}}, ""),
        ({}, ""),
    ],
)
def test_a_champion_that_was_made_for_other_rows_is_not_comparable(
    more: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    code = "import sys; open(sys.argv[1], 'w').close()"
    done = champion(tmp_path, {"predict": [sys.executable, "-c", code, "{predictions}"], "code": "", **more})

    assert done.returncode == 0, done.stderr
    file = tmp_path / "predictions" / "not_comparable.json"
    assert (reason in json.loads(file.read_text())["reason"]) if reason else not file.exists()


def test_only_who_asks_for_checkpoints_fails_where_there_can_be_none(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    options = ("--checkpoints", f"{tmp_path}/taken/kept")
    done, status = train(tmp_path, sys.executable, "-c", WRITE, options=options)
    assert done.returncode == 0, status["error"]
    assert "checkpoints cannot be kept" in done.stdout

    done, status = train(tmp_path, sys.executable, "-c", WRITE, "{checkpoints}", options=options)
    assert done.returncode == 1
    assert status["error"].startswith("checkpoints cannot be kept")
