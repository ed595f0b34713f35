"""The interpreter of pipeline definitions, on documents made by hand: containers are real processes."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ctc.targets.sagemaker import definition as definition_module
from ctc.targets.sagemaker import interpreter, jobs
from ctc.targets.sagemaker.interpreter import Report, run
from ctc.targets.sagemaker.jobs import Host, Refused

ROOT = "s3://bucket/root"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for name in ("s3", "work", "scratch"):
        (tmp_path / name).mkdir()
    return Host({ROOT: tmp_path / "s3"}, {"PATH": os.environ["PATH"]}, tmp_path / "work", tmp_path / "scratch")


def processing(
    name: str, code: str, *, inputs: dict[str, Any] | None = None, outputs: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """A Processing step that runs Python code; `more` is set on the step, `arguments` into its arguments."""
    arguments = {
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": [sys.executable, "-c", code]},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.t3.medium", "InstanceCount": 1}},
        "ProcessingInputs": [
            {"InputName": key, "S3Input": {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/input/{key}"}}
            for key, uri in (inputs or {}).items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": key,
                    "S3Output": {"S3Uri": f"{ROOT}/{name}/{key}", "LocalPath": f"/opt/ml/processing/output/{key}"},
                }
                for key in outputs
            ]
        },
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}


def training(name: str, code: str, channels: dict[str, str], **arguments: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Training",
        "Arguments": {
            "AlgorithmSpecification": {"TrainingImage": "i", "ContainerEntrypoint": [sys.executable, "-c", code]},
            "InputDataConfig": [
                {"ChannelName": key, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}
                for key, uri in channels.items()
            ],
            "OutputDataConfig": {"S3OutputPath": f"{ROOT}/models", "CompressionType": "NONE"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            **arguments,
        },
    }


def condition(name: str, conditions: list[dict[str, Any]], then: list[Any], otherwise: list[Any]) -> dict[str, Any]:
    arguments = {"Conditions": conditions, "IfSteps": then, "ElseSteps": otherwise}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def pipeline(*steps: dict[str, Any], parameters: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"Version": "2020-12-01", "Parameters": parameters or [], "Steps": list(steps)}


def statuses(report: Report) -> dict[str, str]:
    return {step.name: step.status for step in report.steps}


def put(host: Host, name: str, text: str) -> Path:
    path = host.mounts[ROOT] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


WRITE = "open('/opt/ml/processing/output/data/x.txt','w').write({!r})"


def test_a_container_sees_its_inputs_and_leaves_its_outputs(host: Host) -> None:
    put(host, "in/a/b.txt", "hello")
    code = (
        "import sys; text = open('/opt/ml/processing/input/src/a/b.txt').read();"
        "open('/opt/ml/processing/output/data/x.txt','w').write(text.upper())"
    )
    report = run(pipeline(processing("one", code, inputs={"src": f"{ROOT}/in"}, outputs=("data",))), {}, host)

    assert report.status == "Succeeded", report.reason
    assert (host.mounts[ROOT] / "one/data/x.txt").read_text() == "HELLO"
    assert list(host.scratch.iterdir()) == []


def test_a_container_cannot_spoil_what_is_stored(host: Host) -> None:
    kept = put(host, "in/b.txt", "hello")
    code = "open('/opt/ml/processing/input/src/b.txt','w').write('spoilt')"
    report = run(pipeline(processing("one", code, inputs={"src": f"{ROOT}/in"})), {}, host)

    assert report.status == "Succeeded", report.reason
    assert kept.read_text() == "hello"


def test_order_follows_data_and_depends_on_not_the_document(host: Host) -> None:
    uri = {"Get": "Steps.first.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri"}
    by_index = {"Get": "Steps.first.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"}
    last = processing("last", "pass", DependsOn=["reader"])
    reader = processing(
        "reader", "import os; os.stat('/opt/ml/processing/input/i/x.txt')", inputs={"i": uri, "j": by_index}
    )
    report = run(pipeline(last, reader, processing("first", WRITE.format("x"), outputs=("data",))), {}, host)

    assert [step.name for step in report.ran] == ["first", "reader", "last"]
    assert report.status == "Succeeded", report.reason


def test_what_depends_on_a_failed_step_does_not_run(host: Host) -> None:
    bad = processing("bad", "import sys; print('why it broke'); sys.exit(3)")
    report = run(pipeline(bad, processing("after", "pass", DependsOn=["bad"]), processing("other", "pass")), {}, host)

    assert statuses(report) == {"bad": "Failed", "after": "NotExecuted", "other": "NotExecuted"}
    assert "exited with code 3" in report.reason
    assert "why it broke" in report.reason


def test_a_failed_processing_job_uploads_nothing(host: Host) -> None:
    code = WRITE.format("x") + "; raise SystemExit(1)"
    run(pipeline(processing("bad", code, outputs=("data",))), {}, host)

    assert not (host.mounts[ROOT] / "bad").exists()


def test_retry_policies_never_run_a_failing_container_again(host: Host) -> None:
    code = "open('count','a').write('x'); raise SystemExit(1)"
    policy = {"ExceptionType": ["SageMaker.CAPACITY_ERROR"], "MaxAttempts": 5}
    run(pipeline(processing("bad", code, RetryPolicies=[policy])), {}, host)

    assert (host.working / "count").read_text() == "x"


def test_training_folders_and_configuration(host: Host) -> None:
    put(host, "rows/part.csv", "1,2")
    code = (
        "import json, os\n"
        "c = '/opt/ml/input/config/'\n"
        "hp = json.load(open(c + 'hyperparameters.json'))\n"
        "assert json.load(open(c + 'resourceconfig.json'))['current_host'] == 'algo-1'\n"
        "assert json.load(open(c + 'inputdataconfig.json'))['train']['TrainingInputMode'] == 'File'\n"
        "assert open('/opt/ml/input/data/train/part.csv').read() == '1,2'\n"
        "assert os.environ['TRAINING_JOB_NAME'].startswith('pipelines-')\n"
        "assert os.path.isdir(os.environ['PLACE'])\n"
        "open('/opt/ml/model/m.json','w').write(hp['depth'])\n"
    )
    step = training(
        "fit", code, {"train": f"{ROOT}/rows"}, HyperParameters={"depth": "8"}, Environment={"PLACE": "/opt/ml/model"}
    )
    model = {"Get": "Steps.fit.ModelArtifacts.S3ModelArtifacts"}
    reader = processing("use", "assert open('/opt/ml/processing/input/m/m.json').read() == '8'", inputs={"m": model})
    report = run(pipeline(step, reader), {}, host)

    assert report.status == "Succeeded", report.reason
    [file] = (host.mounts[ROOT] / "models").rglob("m.json")
    assert file.parent.parts[-2:] == ("output", "model")


def test_a_compressed_model_is_an_archive(host: Host) -> None:
    put(host, "rows/part.csv", "1,2")
    step = training("fit", "open('/opt/ml/model/m','w').write('1')", {"train": f"{ROOT}/rows"})
    del step["Arguments"]["OutputDataConfig"]["CompressionType"]
    assert run(pipeline(step), {}, host).status == "Succeeded"

    assert [path.name for path in (host.mounts[ROOT] / "models").rglob("model*")] == ["model.tar.gz"]


def test_a_failed_training_job_says_what_it_wrote_and_leaves_no_model(host: Host) -> None:
    put(host, "rows/part.csv", "1,2")
    code = (
        "open('/opt/ml/model/m','w').write('half'); open('/opt/ml/output/failure','w').write('no positives');"
        "raise SystemExit(2)"
    )
    report = run(pipeline(training("fit", code, {"train": f"{ROOT}/rows"})), {}, host)

    assert report.reason == "step fit: no positives"
    assert not (host.mounts[ROOT] / "models").exists()


def test_checkpoints_survive_a_failed_job_and_meet_the_next(host: Host) -> None:
    put(host, "rows/part.csv", "1,2")
    code = (
        "import os, sys; p='/opt/ml/checkpoints/n'\n"
        "if os.path.exists(p): open('/opt/ml/model/m','w').write('resumed')\n"
        "else: open(p,'w').write('1'); sys.exit(1)\n"
    )
    step = training("fit", code, {"train": f"{ROOT}/rows"}, CheckpointConfig={"S3Uri": f"{ROOT}/checkpoints/fit"})

    assert run(pipeline(step), {}, host).status == "Failed"
    assert run(pipeline(step), {}, host).status == "Succeeded"


def test_a_job_is_stopped_when_its_time_is_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "GRACE_SECONDS", 0.2)
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('started');"
        "sys.stdout.flush(); subprocess.Popen(['sleep', '60']); time.sleep(60)"
    )
    step = processing("slow", code, arguments={"StoppingCondition": {"MaxRuntimeInSeconds": 1}})
    report = run(pipeline(step), {}, host)

    assert "longer than 1 seconds" in report.reason
    assert "started" in report.reason


FLAG = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.ask.PropertyFiles.answer"}, "Path": "flags.go"}}


def asking(go: Any) -> dict[str, Any]:
    code = f"import json; json.dump({{'flags': {{'go': {go!r}}}}}, open('/opt/ml/processing/output/out/r.json','w'))"
    files = [{"PropertyFileName": "answer", "OutputName": "out", "FilePath": "r.json"}]
    return processing("ask", code, outputs=("out",), PropertyFiles=files)


@pytest.mark.parametrize("go", [True, False])
def test_a_condition_takes_one_side(host: Host, go: bool) -> None:
    equals = {"Type": "Equals", "LeftValue": FLAG, "RightValue": True}
    inner = processing("yes2", "pass", DependsOn=["yes"])
    branch = condition("if", [equals], [processing("yes", "pass"), inner], [processing("no", "pass")])
    outside = processing("outside", "pass", DependsOn=["yes"])
    found = statuses(run(pipeline(asking(go), branch, outside), {}, host))

    taken = {True: "Succeeded", False: "NotExecuted"}
    assert [found[name] for name in ("yes", "yes2", "outside")] == [taken[go]] * 3
    assert found["no"] == taken[not go]


def test_a_condition_on_what_was_not_executed_is_not_executed(host: Host) -> None:
    equals = {"Type": "Equals", "LeftValue": FLAG, "RightValue": True}
    never = condition("never", [{"Type": "Equals", "LeftValue": 1, "RightValue": 2}], [asking(True)], [])
    second = condition("second", [equals], [processing("yes", "pass")], [processing("no", "pass")])
    found = statuses(run(pipeline(never, second), {}, host))

    assert found == {
        "never": "Succeeded",
        "ask": "NotExecuted",
        "second": "NotExecuted",
        "yes": "NotExecuted",
        "no": "NotExecuted",
    }


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ({"Type": "GreaterThan", "LeftValue": 2, "RightValue": 1.5}, True),
        ({"Type": "GreaterThanOrEqualTo", "LeftValue": 1, "RightValue": 1}, True),
        ({"Type": "LessThan", "LeftValue": 1, "RightValue": 1}, False),
        ({"Type": "LessThanOrEqualTo", "LeftValue": 1, "RightValue": 1}, True),
        ({"Type": "In", "QueryValue": "a", "Values": ["a", "b"]}, True),
        ({"Type": "In", "Value": "c", "In": ["a", "b"]}, False),
        ({"Type": "Not", "Condition": {"Type": "Equals", "LeftValue": 1, "RightValue": 1}}, False),
        ({"Type": "Not", "Expression": {"Type": "Equals", "LeftValue": 1, "RightValue": 2}}, True),
        ({"Type": "Equals", "LeftValue": {"Get": "Parameters.Word"}, "RightValue": "hi"}, True),
        (
            {
                "Type": "Or",
                "Conditions": [
                    {"Type": "Equals", "LeftValue": 1, "RightValue": 2},
                    {"Type": "Equals", "LeftValue": 1, "RightValue": 1},
                ],
            },
            True,
        ),
    ],
    ids=lambda value: value["Type"] if isinstance(value, dict) else str(value),
)
def test_conditions(host: Host, test: dict[str, Any], holds: bool) -> None:
    fails = {"Name": "no", "Type": "Fail", "Arguments": {"ErrorMessage": {"Std:Join": {"On": " ", "Values": ["a", 1]}}}}
    word = {"Name": "Word", "Type": "String", "DefaultValue": "hi"}
    report = run(pipeline(condition("if", [test], [], [fails]), parameters=[word]), {}, host)

    assert report.status == ("Succeeded" if holds else "Failed")
    assert report.reason == ("" if holds else "step no: a 1")


def test_different_types_do_not_compare(host: Host) -> None:
    equals = {"Type": "Equals", "LeftValue": FLAG, "RightValue": True}
    report = run(pipeline(asking("true"), condition("if", [equals], [], [])), {}, host)

    assert "different types" in report.reason


def test_parameters_have_types_and_defaults(host: Host) -> None:
    declared = [
        {"Name": "Count", "Type": "Integer", "DefaultValue": 3},
        {"Name": "Fast", "Type": "Boolean"},
        {"Name": "Kind", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
    ]
    step = processing("p", "import os; open('seen','w').write(os.environ['ALL'])")
    values = [{"Get": f"Parameters.{name}"} for name in ("Count", "Fast", "Kind")]
    step["Arguments"]["Environment"] = {"ALL": {"Std:Join": {"On": "/", "Values": values}}}
    run(pipeline(step, parameters=declared), {"Fast": "TRUE", "Count": "4"}, host)

    assert (host.working / "seen").read_text() == "4/true/a"
    for given in ({}, {"Fast": "maybe"}, {"Fast": True, "Count": "x"}, {"Fast": True, "Kind": "c"}, {"Nope": "1"}):
        with pytest.raises(Refused, match="parameter"):
            run(pipeline(step, parameters=declared), given, host)


def test_an_input_without_objects_fails_its_job(host: Host) -> None:
    report = run(pipeline(processing("p", "pass", inputs={"i": f"{ROOT}/nothing"})), {}, host)

    assert report.reason == f"step p: there are no S3 objects below {ROOT}/nothing"


def test_the_rest_of_a_killed_upload_is_no_object(host: Host) -> None:
    put(host, "in/b.txt.partial.tmp", "half")
    report = run(pipeline(processing("p", "pass", inputs={"i": f"{ROOT}/in"})), {}, host)

    assert "no S3 objects" in report.reason


def test_an_exit_message_that_is_not_utf8_fails_the_job(host: Host) -> None:
    report = run(pipeline(processing("p", "open('/opt/ml/output/message','wb').write(b'\\xff')")), {}, host)

    assert "not UTF-8" in report.reason


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda s: s.update(Type="Lambda"), "Lambda"),
        (lambda s: s["Arguments"]["AppSpecification"].pop("ContainerEntrypoint"), "ContainerEntrypoint"),
        (lambda s: s["Arguments"]["ProcessingResources"]["ClusterConfig"].update(InstanceCount=2), "2 instances"),
        (lambda s: s["Arguments"].update(Environment={"A": {"Std:Upper": "x"}}), "Std:Upper"),
        (
            lambda s: s["Arguments"]["ProcessingInputs"].append(
                {"InputName": "i", "S3Input": {"S3Uri": "s3://elsewhere/x", "LocalPath": "/opt/ml/processing/i"}}
            ),
            "s3://elsewhere/x",
        ),
        (
            lambda s: s["Arguments"]["ProcessingInputs"].append(
                {"InputName": "i", "S3Input": {"S3Uri": f"{ROOT}/../../etc", "LocalPath": "/opt/ml/processing/i"}}
            ),
            "leaves its bucket",
        ),
        (
            lambda s: s["Arguments"]["ProcessingInputs"].append(
                {"InputName": "i", "S3Input": {"S3Uri": f"{ROOT}/in", "LocalPath": "/etc"}}
            ),
            "/etc",
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_name(host: Host, break_it: Any, words: str) -> None:
    step = processing("p", "pass")
    break_it(step)
    with pytest.raises(Refused, match=words):
        run(pipeline(step), {}, host)


def test_output_streams_while_it_runs(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    run(pipeline(processing("p", "print('épreuve')", arguments={"Environment": {"PYTHONUTF8": "1"}})), {}, host)

    assert "épreuve" in capsys.readouterr().err


def test_containers_die_with_the_interpreter(host: Host, tmp_path: Path) -> None:
    """Killed without a chance to clean up, it leaves no process that goes on writing."""
    import signal
    import subprocess
    import time

    beat = "import time\nwhile True: open('beat','w').write(str(time.time())); time.sleep(.05)"
    (tmp_path / "d.json").write_text(json.dumps(pipeline(processing("p", beat))))
    program = (
        "import json, pathlib, sys; from ctc.targets.sagemaker.interpreter import run;"
        "from ctc.targets.sagemaker.jobs import Host; t = pathlib.Path(sys.argv[1]);"
        "run(json.loads((t / 'd.json').read_text()), {}, Host({}, {}, t / 'work', t / 'scratch'))"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) as parent:
        end = time.monotonic() + 20
        while not (host.working / "beat").exists():
            assert time.monotonic() < end, "it never started"
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    time.sleep(0.3)
    first = (host.working / "beat").read_text()
    time.sleep(0.3)

    assert (host.working / "beat").read_text() == first


def test_the_same_start_gets_the_same_names(host: Host) -> None:
    steps = pipeline(processing("p", "pass"))

    assert run(steps, {}, host, name="a").execution_id == run(steps, {}, host, name="a").execution_id
    assert run(steps, {}, host, name="a").execution_id != run(steps, {}, host, name="b").execution_id


@pytest.mark.parametrize("module", [interpreter, jobs, definition_module])
def test_the_interpreter_knows_nothing_of_the_compiler(module: Any) -> None:
    """It would prove nothing about the artifact if it could look behind it."""
    own = "ctc.targets.sagemaker."
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            allowed = name.split(".")[0] in sys.stdlib_module_names or name in {own + "definition", own + "jobs"}
            assert allowed, name
