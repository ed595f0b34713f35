"""The PipelineSpec: accepted by Kubeflow's own readers, wired as the IR says, and checked where nobody else checks."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import yaml

from ctc.compiler.bundle import as_json
from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.language.spec import (
    Columns,
    Evaluation,
    Gate,
    Holdout,
    Label,
    ManualTrigger,
    Metric,
    NewDataTrigger,
    Parquet,
    Promotion,
    Retraining,
    ScheduleTrigger,
    Source,
    Spec,
    Training,
    Trigger,
    TriggerPolicy,
)
from ctc.targets.kfp_check import check
from ctc.targets.kfp_ir import pipeline_spec, quantity
from ctc.targets.kfp_yaml import _UNPRINTABLE, as_yaml
from ctc.targets.shim import PROGRAMS, program

DAY = timedelta(days=1)


def spec() -> Spec:
    return Spec(
        name="flights",
        description="delays",
        owner="team",
        mode="act",
        task="binary",
        runtime_image="registry.example/ctc@sha256:" + "1" * 64,
        sources=(Source("visits", "rows", Parquet("data/visits.parquet"), event_time="at", key=("id",)),),
        label=Label("visits", "late", DAY, "drop"),
        columns=Columns(),
        checks=(),
        training=Training(
            code=".",
            image="registry.example/model@sha256:" + "2" * 64,
            argv=("python", "train.py", "--data", "{train}", "--depth", "{hp.depth}", 'it\'s "quoted"'),
            predict=("python", "predict.py", "--model", "{model}", "--out", "{predictions}"),
            hyperparameters={"depth": 8},
            retries=2,
        ),
        retraining=Retraining("full", Holdout(time=7 * DAY), window=30 * DAY),
        evaluation=Evaluation((Metric("auc", "roc_auc", {}, "higher"),)),
        promotion=Promotion((Gate("floor", "range", "auc", min=0.5),)),
        triggers=(
            Trigger("weekly", ScheduleTrigger("0 6 * * 1", "Europe/Oslo")),
            Trigger("labels", NewDataTrigger(100)),
            Trigger("asked", ManualTrigger()),
        ),
        trigger_policy=TriggerPolicy(),
        targets={"kubeflow": {"bucket": "acme-ct", "namespace": "ml"}},
        environment="default",
    )


@pytest.fixture
def system() -> System:
    return lower(spec(), "kubeflow")


@pytest.fixture
def train(system: System) -> dict[str, Any]:
    return copy.deepcopy(json.loads(as_json(pipeline_spec(system.train, system.root))))


@pytest.mark.parametrize("kind", ["wake", "train"])
@pytest.mark.filterwarnings("default")
def test_kubeflows_own_readers_accept_what_is_emitted(system: System, kind: str) -> None:
    components = pytest.importorskip("kfp.components")
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    text = as_yaml(pipeline_spec(getattr(system, kind), system.root)).decode()
    message = json_format.ParseDict(yaml.safe_load(text), pipeline_spec_pb2.PipelineSpec())
    # The executors stand in an untyped field: parsed one by one, or nothing looks inside.
    executors = {
        name: json_format.ParseDict(item, pipeline_spec_pb2.PipelineDeploymentConfig.ExecutorSpec())
        for name, item in yaml.safe_load(text)["deploymentSpec"]["executors"].items()
    }
    loaded = components.load_component_from_text(text)

    assert loaded.name == f"flights-{kind}"
    assert set(loaded.component_spec.inputs) == {item.name for item in getattr(system, kind).parameters}
    assert message.root.dag.tasks
    assert all(executor.WhichOneof("spec") for executor in executors.values())


@pytest.mark.parametrize("kind", ["wake", "train"])
def test_what_is_emitted_passes_our_own_checks(system: System, kind: str) -> None:
    assert check(pipeline_spec(getattr(system, kind), system.root)) == []


def test_a_condition_is_spelt_as_the_local_runner_resolves_it(train: dict[str, Any]) -> None:
    body = train["components"]["comp-body"]["dag"]["tasks"]
    task = body["if-validate-go"]

    assert task["triggerPolicy"] == {"condition": "inputs.parameter_values['pipelinechannel--validate--go'] == true"}
    assert task["inputs"]["parameters"]["pipelinechannel--validate--go"] == {
        "taskOutputParameter": {"producerTask": "validate", "outputParameterKey": "go"}
    }
    assert "snapshot" in task["dependentTasks"]
    inside = train["components"]["comp-if-validate-go"]["dag"]["tasks"]
    assert inside["if-decide-promote"]["triggerPolicy"]["condition"].endswith("decide--promote'] == true")


def test_record_is_the_one_exit_task_and_hears_how_the_body_ended(train: dict[str, Any]) -> None:
    tasks = train["root"]["dag"]["tasks"]

    assert set(tasks) == {"body", "record"}
    assert tasks["record"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert tasks["record"]["dependentTasks"] == ["body"]
    assert tasks["record"]["inputs"]["parameters"]["final_status"] == {"taskFinalStatus": {"producerTask": "body"}}


def test_the_champion_is_imported_from_the_runs_parameters(train: dict[str, Any]) -> None:
    inside = train["components"]["comp-if-validate-go"]["dag"]["tasks"]
    importer = train["deploymentSpec"]["executors"]["exec-import-predict-champion-model"]["importer"]

    assert importer["artifactUri"] == {"runtimeParameter": "uri"}
    assert inside["import-predict-champion-model"]["inputs"]["parameters"]["uri"] == {
        "componentInputParameter": "champion_model"
    }
    assert inside["predict-champion"]["inputs"]["artifacts"]["request"] == {
        "taskOutputArtifact": {"producerTask": "import-predict-champion-request", "outputArtifactKey": "artifact"}
    }


def test_our_steps_and_the_users(train: dict[str, Any]) -> None:
    executors = train["deploymentSpec"]["executors"]
    ours, users = executors["exec-validate"]["container"], executors["exec-train"]["container"]
    champion = executors["exec-predict-champion"]["container"]
    handed = ["--executor_input", "{{$}}", "--executor-main", "kfp.dsl.executor_main"]

    assert (ours["command"], ours["args"]) == (["python3", "-m", "ctc.step", "validate"], handed)
    assert users["command"] == ["python3", "-u", "-c", program("shim")]
    assert users["args"] == [
        *("--step", "train", *handed, "--retries", "2", "--timeout", "3600"),
        *("--checkpoints", "s3://acme-ct/flights/default/kubeflow/attempts/{attempt}/checkpoints", "--"),
        *("python", "train.py", "--data", "{train}", "--depth", "8", 'it\'s "quoted"'),
    ]
    assert "--" not in champion["args"]
    assert {"name": "CTC_HYPERPARAMETERS", "value": '{"depth":8}'} in users["env"]


def test_nothing_is_cached_and_only_the_shim_retries(train: dict[str, Any]) -> None:
    dags = [train["root"], *(item for item in train["components"].values() if "dag" in item)]
    tasks = [task for dag in dags for task in dag["dag"]["tasks"].values()]

    assert len(tasks) == 14
    assert all(task["cachingOptions"] == {} for task in tasks)
    assert not any("retryPolicy" in task for task in tasks)


def test_resources_are_numbers_and_strings() -> None:
    container = pipeline_spec(lower(spec(), "kubeflow").train, "s3://b")["deploymentSpec"]["executors"]["exec-train"]

    assert container["container"]["resources"] == {
        "cpuLimit": 1.0,
        "memoryLimit": 2.147483648,
        "resourceCpuLimit": "1",
        "resourceMemoryLimit": "2Gi",
    }


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (1000, "1000"), (1024, "1Ki"), (3 * 1024**3, "3Gi"), (1536 * 1024**2, "1536Mi")]
)
def test_a_quantity_is_exact(size: int, text: str) -> None:
    assert quantity(size) == text


def test_the_programs_hold_nothing_that_a_service_would_replace() -> None:
    for name in PROGRAMS:
        assert "{{$" not in program(name)
        assert "$(" not in program(name)
        assert not program(name).startswith('{"')


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "schema": (lambda s: s.update(schemaVersion="2.0.0"), "schemaVersion"),
    "accelerators for newer servers only": (
        lambda s: s["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"].update(
            accelerator={"resourceType": "nvidia.com/gpu", "resourceCount": "1"}
        ),
        "other accelerators",
    ),
    "accelerators that are none": (
        lambda s: s["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"].update(
            accelerator={
                "type": "nvidia.com/gpu",
                "count": "0",
                "resourceType": "nvidia.com/gpu",
                "resourceCount": "0",
            }
        ),
        "or for none",
    ),
    "pipeline name": (lambda s: s["pipelineInfo"].update(name="Flights_Train"), "pipeline's name"),
    "task name": (lambda s: inside(s).update({"Bad_Name": inside(s).pop("train")}), "Bad_Name"),
    "dangling component": (lambda s: s["components"].pop("comp-train"), "no component comp-train"),
    "dangling executor": (lambda s: s["deploymentSpec"]["executors"].pop("exec-train"), "no executor exec-train"),
    "unused component": (lambda s: inside(s).pop("import-predict-champion-model"), "no task uses it"),
    "unused executor": (lambda s: s["deploymentSpec"]["executors"].update(extra={"importer": {}}), "no component uses"),
    "dangling producer": (
        lambda s: artifact(s)["taskOutputArtifact"].update(producerTask="trian"),
        "no task trian beside it",
    ),
    "unknown output": (
        lambda s: artifact(s)["taskOutputArtifact"].update(outputArtifactKey="modle"),
        "no output modle",
    ),
    "forgotten dependency": (
        lambda s: inside(s)["predict-contender"].update(dependentTasks=[]),
        "does not depend on it",
    ),
    "dependency on nothing": (
        lambda s: inside(s)["train"].update(dependentTasks=["prepare"]),
        "depends on prepare",
    ),
    "circle": (lambda s: inside(s)["train"].update(dependentTasks=["evaluate"]), "in a circle"),
    "nested in itself": (
        lambda s: inside(s)["train"].update(componentRef={"name": "comp-if-validate-go"}),
        "contains itself",
    ),
    "undeclared input of the DAG": (
        lambda s: inside(s)["evaluate"]["inputs"]["parameters"]["instant"].update(componentInputParameter="moment"),
        "has no input moment",
    ),
    "missing input": (lambda s: inside(s)["evaluate"]["inputs"]["parameters"].pop("instant"), "lacks the input"),
    "surplus input": (
        lambda s: inside(s)["train"]["inputs"]["artifacts"].update(holdout={}),
        "does not declare",
    ),
    "wrong type": (
        lambda s: s["components"]["comp-decide"]["outputDefinitions"]["parameters"]["promote"].update(
            parameterType="STRING"
        ),
        "wants BOOLEAN and is given STRING",
    ),
    "wrong constant": (
        lambda s: inside(s)["decide"]["inputs"]["parameters"].update(instant={"runtimeValue": {"constant": 1}}),
        "wants STRING and is given the constant int",
    ),
    "wrong default": (
        lambda s: s["components"]["comp-decide"]["inputDefinitions"]["parameters"]["document"].update(
            defaultValue="{}"
        ),
        "wants STRUCT",
    ),
    "condition on another name": (
        lambda s: branch(s)["triggerPolicy"].update(condition="inputs.parameter_values['decide-promote'] == true"),
        "none of its inputs",
    ),
    "condition spelt as the SDK spells it": (lambda s: respell(s), "local runner does not find it"),
    "condition in another language": (
        lambda s: branch(s)["triggerPolicy"].update(condition="True"),
        "not a comparison",
    ),
    "condition on a plain task": (
        lambda s: branch(s).update(componentRef={"name": "comp-register"}),
        "on a sub-DAG only",
    ),
    "exit task without status": (
        lambda s: s["root"]["dag"]["tasks"]["record"]["inputs"]["parameters"].pop("final_status"),
        "exit task has both",
    ),
    "exit task after two": (
        lambda s: s["root"]["dag"]["tasks"]["record"].update(dependentTasks=["body", "record"]),
        "exactly one task",
    ),
    "image lost": (
        lambda s: s["deploymentSpec"]["executors"]["exec-train"]["container"].pop("image"),
        "names no image",
    ),
    "executor input lost": (
        lambda s: s["deploymentSpec"]["executors"]["exec-decide"]["container"].update(args=[]),
        "not handed its executor input",
    ),
    "placeholder of some servers": (
        lambda s: s["deploymentSpec"]["executors"]["exec-decide"]["container"]["args"].append("{{$.inputs}}"),
        "placeholder",
    ),
    "variable twice": (
        lambda s: s["deploymentSpec"]["executors"]["exec-train"]["container"]["env"].append(
            {"name": "CTC_SEED", "value": "1"}
        ),
        "twice",
    ),
    "importer of nothing": (
        lambda s: s["deploymentSpec"]["executors"]["exec-import-predict-champion-model"]["importer"].update(
            artifactUri={"runtimeParameter": "url"}
        ),
        "reads the parameter url",
    ),
    "no shape": (lambda s: s.update(components=[]), "has not the shape"),
}


def inside(spec: dict[str, Any]) -> dict[str, Any]:
    """The tasks of the branch after validation."""
    tasks: dict[str, Any] = spec["components"]["comp-if-validate-go"]["dag"]["tasks"]
    return tasks


def branch(spec: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = inside(spec)["if-decide-promote"]
    return task


def artifact(spec: dict[str, Any]) -> dict[str, Any]:
    source: dict[str, Any] = inside(spec)["predict-contender"]["inputs"]["artifacts"]["model"]
    return source


def respell(spec: dict[str, Any]) -> None:
    """One hyphen between task and output, everywhere: sound for a server, a silent skip for the local runner."""
    ours, theirs = "pipelinechannel--decide--promote", "pipelinechannel--decide-promote"
    task = branch(spec)
    task["inputs"]["parameters"][theirs] = task["inputs"]["parameters"].pop(ours)
    declared = spec["components"]["comp-if-decide-promote"]["inputDefinitions"]["parameters"]
    declared[theirs] = declared.pop(ours)
    task["triggerPolicy"]["condition"] = task["triggerPolicy"]["condition"].replace(ours, theirs)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_breakage_is_caught(train: dict[str, Any], mutation: str) -> None:
    breaking, word = MUTATIONS[mutation]
    breaking(train)

    assert any(word in problem for problem in check(train)), check(train)


TRAPS = [
    *("on", "No", "y", "~", "null", "", " ", "true", "1", "1.0", "0o14", "0x1f", "012", "1e5", ".5", "1:30", "1_000"),
    *(
        "2013-03-10",
        "2013-03-10T06:00:00Z",
        "=",
        "<<",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "&a",
        "*a",
        "!a",
        "%",
        "@",
        "`",
    ),
    *("a\nb\n", "a\nb\nc\n", " a\nb\n", "a\nb\n\n", "a\n\n  b \n\tc\n", "a\r\nb\n", "\n\n", "tab\t", "é ü 🎈", "{{$}}"),
    *(
        "\x85",
        "a\u2028b\nc\n",
        "\x7f",
        "\x00",
        "\ufeff",
        "/a/python3/b",
        "--",
        "...",
        "---\na\nb\n",
        "{a}",
        "[a]",
        "|",
        ">",
    ),
]


@pytest.mark.parametrize("text", TRAPS)
def test_a_string_stays_the_string_it_is_whatever_the_version_of_yaml(text: str) -> None:
    document = {"key": text, "list": [text, {"in": text}], text: 1}
    written = as_yaml(document)

    assert yaml.safe_load(written) == document
    bare = written.decode().split("\n")[0].removeprefix("key: ")
    if bare == text:
        # Standing bare, it must be a word that neither version resolves to anything but itself.
        assert text[0].isalpha() or text[0] == "/"


def test_what_python_calls_printable_needs_no_escape_in_yaml() -> None:
    printable = "".join(character for character in map(chr, range(0x110000)) if character.isprintable())

    assert re.search(_UNPRINTABLE, printable) is None


@pytest.mark.parametrize("number", [0, -1, 10**18, 0.5, 1.0, 1e-9, 1e300, -2.5e-7, 2.147483648])
def test_a_number_keeps_its_kind_and_its_value(number: float) -> None:
    back = yaml.safe_load(as_yaml({"n": number}))["n"]

    assert back == number
    assert type(back) is type(number)


def test_what_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        as_yaml({"n": math.nan})


def test_empty_and_nested_things() -> None:
    document = {"a": {}, "b": [], "c": [[], {}, [1, [2]], {"d": {"e": None}}], "f": [{"g": [True, False]}]}

    assert yaml.safe_load(as_yaml(document)) == document


def test_the_shims_text_arrives_exactly_and_readable(system: System) -> None:
    written = as_yaml(pipeline_spec(system.train, system.root))
    command = yaml.safe_load(written)["deploymentSpec"]["executors"]["exec-train"]["container"]["command"]

    assert command[3] == program("shim")
    assert "def main(words: list[str], act: Callable[..., None] = run) -> int:" in [
        line.strip() for line in written.decode().splitlines()
    ]
