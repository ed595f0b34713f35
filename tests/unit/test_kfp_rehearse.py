"""The emitted file is what runs: by Kubeflow's local runner, whose word is never taken for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kfp")

from ctc.compiler.ir import Branch, Parameter, Pipeline, Ref, Runs, Step
from ctc.compiler.target import Execution, Machine
from ctc.diagnostics import CtcError
from ctc.targets import kfp_rehearse
from ctc.targets.kfp_ir import pipeline_spec
from ctc.targets.kfp_yaml import as_yaml

ROOT = Path(__file__).resolve().parent.parent.parent
URI = "s3://acme/toy/default"

# Stands for a step: PLAN (by step: exit code, flags, words to print) says what it does.
FAKE = """\
import json, os, pathlib, sys, time
told = json.loads(sys.argv[sys.argv.index("--executor_input") + 1])
step = pathlib.Path(told["outputs"]["outputFile"]).parent.name
plan = json.loads(os.environ["PLAN"]).get(step, {})
sys.stdout.buffer.write(plan.get("print", "").encode("latin-1"))
pathlib.Path("seen-" + step + ".json").write_text(json.dumps({"argv": sys.argv, "told": told, "pid": os.getpid()}))
time.sleep(plan.get("sleep", 0))
if "code" in plan:
    sys.exit(plan["code"])
artifacts = {}
for name, listed in told["outputs"].get("artifacts", {}).items():
    pathlib.Path(listed["artifacts"][0]["uri"]).mkdir(parents=True)
    artifacts[name] = {"artifacts": [{"name": name, "uri": listed["artifacts"][0]["uri"]}]}
flags = {name: plan.get("flags", {}).get(name, True) for name in told["outputs"].get("parameters", {})}
report = {} if plan.get("silent") else {"parameterValues": flags, "artifacts": artifacts}
output = pathlib.Path(told["outputs"]["outputFile"])
output.parent.mkdir(parents=True, exist_ok=True)
output.write_text(json.dumps(report))
"""


def step(name: str, **fields: Any) -> Step:
    document = {"version": 1, "step": name, "text": "a {brace} and python3", "none": None, "n": [1, 0.5]}
    return Step(name, Runs.RUNTIME, "registry.example/ctc", "x", document=document, **fields)


def document() -> dict[str, Any]:
    """look -> if look.go: use, import a model, judge -> if judge.keep: store; and record always."""
    look = step("look", outputs=("rows",), flags=("go",), parameters=("attempt",))
    use = step("use", inputs=(("rows", Ref("look", "rows")),), imports=(("model", "model"),), outputs=("found",))
    judge = step("judge", inputs=(("found", Ref("use", "found")),), flags=("keep",))
    store = step("store", inputs=(("rows", Ref("look", "rows")),), parameters=("attempt",))
    body = (look, Branch(Ref("look", "go"), (use, judge, Branch(Ref("judge", "keep"), (store,), "x")), "x"))
    parameters = (Parameter("attempt"), Parameter("model", f"{URI}/absent"))
    pipeline = Pipeline("toy-train", "train", parameters, body, step("record", parameters=("attempt",)), "x")
    spec = pipeline_spec(pipeline, URI)
    for executor in spec["deploymentSpec"]["executors"].values():
        if "container" in executor:
            executor["container"]["command"] = ["python3", "-c", FAKE]
    return spec


class Bench:
    """A machine in a folder, and the file that it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file, self.spec = folder, folder / "train.yaml", document()
        for name in ("work", "mount", "bin"):
            (folder / name).mkdir(parents=True)
        (folder / "bin" / "python3").symlink_to(sys.executable)

    def machine(self, plan: dict[str, Any]) -> Machine:
        return Machine(
            mounts={URI: self.folder / "mount"},
            environment={"PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PLAN": json.dumps(plan)},
            working=self.folder / "work",
            scratch=self.folder / "scratch",
        )

    def run(self, **plan: Any) -> Execution:
        self.file.write_bytes(as_yaml(self.spec))
        return kfp_rehearse.execute(self.file, {"attempt": "a-1"}, self.machine(plan))

    def seen(self, name: str) -> Any:
        return json.loads((self.folder / "work" / f"seen-{name}.json").read_text())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("plan", "steps"),
    [
        ({}, ("look", "use", "judge", "store", "record")),
        ({"judge": {"flags": {"keep": False}}}, ("look", "use", "judge", "record")),
        ({"look": {"flags": {"go": False}}}, ("look", "record")),
    ],
    ids=["both branches", "inner off", "outer off"],
)
def test_the_flags_decide_what_runs(bench: Bench, plan: dict[str, Any], steps: tuple[str, ...]) -> None:
    assert bench.run(**plan) == Execution(True, steps)


def test_what_a_step_is_given(tmp_path: Path) -> None:
    """Local paths for URIs below a mount, and every word as it is, though kfp replaces `python3` wherever it stands."""
    bench = Bench(tmp_path / "with python3 in it")
    bench.spec["deploymentSpec"]["executors"]["exec-use"]["container"]["args"] += [
        "--",
        "python3",
        "{train} /python3/x",
    ]

    assert bench.run().ok
    told = bench.seen("use")["told"]
    mount = bench.folder / "mount"
    assert bench.seen("use")["argv"][-3:] == ["--", "python3", "{train} /python3/x"]
    assert told["inputs"]["parameterValues"]["document"] == step("use").document
    assert told["inputs"]["artifacts"]["model"]["artifacts"][0]["uri"] == str(mount / "absent")
    rows = Path(told["inputs"]["artifacts"]["rows"]["artifacts"][0]["uri"])
    assert rows.is_dir()
    assert rows.is_relative_to(mount / "attempts" / "a-1" / "artifacts-1")
    assert bench.seen("record")["told"]["inputs"]["parameterValues"]["final_status"]["state"] == "SUCCEEDED"


def test_a_second_run_of_an_attempt_takes_a_folder_of_its_own(bench: Bench) -> None:
    bench.run()
    bench.run()

    assert sorted(path.name for path in (bench.folder / "mount/attempts/a-1").iterdir()) == [
        "artifacts-1",
        "artifacts-2",
    ]


def test_a_failing_step_is_named_with_its_last_lines_and_record_still_runs(bench: Bench) -> None:
    done = bench.run(use={"code": 3, "print": "".join(f"line {n}\n" for n in range(50))})

    assert not done.ok
    assert done.steps == ("look", "use", "record")
    assert done.error.splitlines() == [
        "step use failed with exit code 3; its last lines:",
        *(f"line {n}" for n in range(30, 50)),
    ]
    assert bench.seen("record")["told"]["inputs"]["parameterValues"]["final_status"]["state"] == "FAILED"


def test_a_step_that_explains_itself_is_quoted(bench: Bench) -> None:
    done = bench.run(look={"code": 1, "print": "noise\nctc: look failed: no rows at all\n  look elsewhere\n"})

    assert done.error == "look failed: no rows at all\n  look elsewhere"


def test_output_streams_through_unchanged_bytes_that_are_no_text_too(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    done = bench.run(look={"print": "  indented\r50%\r100%\n\xff\n\nend"})

    out, err = capfd.readouterr()
    assert done.ok
    assert (out, err) == ("", "  indented\r50%\r100%\n\ufffd\n\nend")


def test_a_step_that_reports_no_outputs_is_an_error(bench: Bench) -> None:
    done = bench.run(look={"silent": True})

    assert not done.ok
    assert done.error == "step look ended well and did not report its output rows, go"


def test_an_edited_condition_changes_what_runs(bench: Bench) -> None:
    branch = bench.spec["components"]["comp-body"]["dag"]["tasks"]["if-look-go"]["triggerPolicy"]
    branch["condition"] = branch["condition"].replace("== true", "== false")

    assert bench.run() == Execution(True, ("look", "record"))


def test_an_edited_command_changes_what_runs(bench: Bench) -> None:
    bench.spec["deploymentSpec"]["executors"]["exec-look"]["container"]["command"] = ["python3", "-c", "1 / 0"]

    done = bench.run()
    assert done.steps == ("look", "record")
    assert "ZeroDivisionError" in done.error


def test_a_command_that_does_not_exist_is_an_error_with_its_name(bench: Bench) -> None:
    bench.spec["deploymentSpec"]["executors"]["exec-look"]["container"]["command"] = ["no-such-program"]

    done = bench.run()
    assert not done.ok
    assert "no-such-program" in done.error


def test_a_branch_that_the_runner_skips_in_silence_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spelling of Kubeflow's own compiler: sound on a server, never true locally unless it is put in another."""
    text = as_yaml(bench.spec).decode()
    ours, theirs = "pipelinechannel--judge--keep", "pipelinechannel--judge-keep"
    assert ours in text
    bench.file.write_text(text.replace(ours, theirs))
    every = ("look", "use", "judge", "store", "record")
    assert kfp_rehearse.execute(bench.file, {"attempt": "a-1"}, bench.machine({})) == Execution(True, every)

    monkeypatch.setattr(kfp_rehearse, "localised", dict)
    with pytest.raises(CtcError, match="local runner does not find it"):
        kfp_rehearse.execute(bench.file, {"attempt": "a-1"}, bench.machine({}))

    monkeypatch.setattr(kfp_rehearse, "check", lambda spec: [])
    done = kfp_rehearse.execute(bench.file, {"attempt": "a-1"}, bench.machine({}))
    assert done.error == "Kubeflow's local runner skipped store, which the pipeline demands"


def test_a_step_that_should_not_have_run_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kfp_rehearse, "_holds", lambda condition, values: False)

    assert bench.run().error == "Kubeflow's local runner ran use, judge, store, which the pipeline excludes"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "needs the parameter attempt"),
        ({"attempt": "a", "instnat": "x"}, "has no parameter instnat"),
    ],
)
def test_wrong_parameters_are_refused(bench: Bench, parameters: dict[str, str], words: str) -> None:
    bench.file.write_bytes(as_yaml(bench.spec))

    with pytest.raises(CtcError, match=words):
        kfp_rehearse.execute(bench.file, parameters, bench.machine({}))


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot read"), ("a: [", "is not YAML"), ("- a", "shape"), ("a: 1", "shape")]
)
def test_a_damaged_file_is_refused(bench: Bench, content: str | None, words: str) -> None:
    if content is not None:
        bench.file.write_text(content)

    with pytest.raises(CtcError, match=words) as caught:
        kfp_rehearse.execute(bench.file, {"attempt": "a"}, bench.machine({}))
    assert "compile the spec again" in caught.value.help


def test_a_root_without_a_mount_is_refused(bench: Bench) -> None:
    bench.spec["defaultPipelineRoot"] = "s3://elsewhere/artifacts"

    with pytest.raises(CtcError, match="nothing on this machine stands for s3://elsewhere"):
        bench.run()


def test_without_kfp_the_help_says_what_to_install(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(CtcError) as caught:
        bench.run()
    assert caught.value.help == "pip install 'ctc-compiler[kubeflow]'"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        (URI, "/m/root"),
        (f"{URI}/a/b", "/m/root/a/b"),
        (f"{URI}-2/a", f"{URI}-2/a"),
        ("s3://acme/toy/default/attempts/x", "/m/attempts/x"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("", ""),
    ],
)
def test_the_longest_mount_wins_and_only_whole_names_match(uri: str, path: str) -> None:
    mounts = {URI: Path("/m/root"), f"{URI}/attempts": Path("/m/attempts")}

    assert kfp_rehearse._local(uri, mounts) == path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent's death signal is Linux's")
def test_the_runner_and_its_step_die_with_their_parent(bench: Bench) -> None:
    bench.file.write_bytes(as_yaml(bench.spec))
    machine = bench.machine({"look": {"sleep": 30}})
    program = (
        "from pathlib import Path\n"
        "from ctc.compiler.target import Machine\n"
        "from ctc.targets import kfp_rehearse\n"
        f"kfp_rehearse.execute(Path({str(bench.file)!r}), {{'attempt': 'a-1'}}, Machine({{{URI!r}: "
        f"Path({str(bench.folder / 'mount')!r})}}, {dict(machine.environment)!r}, Path({str(machine.working)!r}), "
        f"Path({str(machine.scratch)!r})))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        wait_for(lambda: (bench.folder / "work" / "seen-look.json").exists())
        time.sleep(0.1)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    finally:
        parent.kill()
        parent.wait()

    assert len(children) == 1
    for process in (children[0], bench.seen("look")["pid"]):
        wait_for(lambda process=process: ended(process))


def ended(process: str | int) -> bool:
    """Gone, or a zombie that nobody has collected yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
