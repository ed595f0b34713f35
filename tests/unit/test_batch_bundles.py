"""What each target emits for batch jobs: a pipeline and a schedule each, the right to write their scores, no more."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from ctc import targets
from ctc.compiler.ir import Runs, System
from ctc.compiler.lower import lower
from ctc.language.load import load_spec
from ctc.targets import kfp_check

Files = dict[str, Any]
SPEC = Path(__file__).resolve().parent.parent.parent / "specs" / "batch_serving.yaml"
STORES = {
    "kubeflow": "s3://acme-churn",
    "sagemaker": "s3://acme-churn",
    "vertex": "gs://acme-churn",
    "azureml": "azureml://datastores/churn/paths",
}
TARGETS = """\
targets:
  kubeflow: {host: "http://kfp.example", namespace: churn, bucket: acme-ct}
  sagemaker: {region: eu-north-1, role: "arn:aws:iam::123456789012:role/churn-ct", bucket: acme-ct}
  vertex:
    project: churn-ml
    region: europe-west1
    service_account: training@churn-ml.iam.gserviceaccount.com
    bucket: acme-ct
  azureml:
    subscription: 11111111-2222-3333-4444-555555555555
    resource_group: churn
    workspace: churn
    compute: cpu-cluster
    datastore: ct
"""
WEEKLY = """\
  weekly:
    batch: {rows: customers, out: "s3://acme-churn/whole", write: replace, schedule: {cron: "0 6 * * 1", timezone: UTC}}
"""


def system(folder: Path, target: str, old: str = "", new: str = "") -> System:
    text = SPEC.read_text().partition("\ntargets:")[0] + "\n" + TARGETS
    text = text.replace("\nnotifications:", f"\n{WEEKLY}\nnotifications:").replace("s3://acme-churn", STORES[target])
    assert old in text
    file = folder / "batch.yaml"
    file.write_text(text.replace(old, new, 1))
    loaded = load_spec(file, None, target)
    assert loaded.spec is not None, loaded.diagnostics
    assert loaded.spec.gaps_on(target) == ()
    return lower(loaded.spec, target)


def emitted(made: System) -> Files:
    """The documents of the bundle, read."""
    target = targets.load(made.target)
    assert target.limits(made) == ()
    files: Files = {}
    for artifact in target.emit(made).artifacts:
        if artifact.path.endswith(".json"):
            files[artifact.path] = json.loads(artifact.content)
        elif artifact.path.endswith((".yaml", ".yml")):
            files[artifact.path] = next(yaml.safe_load_all(artifact.content))
    return files


def problems(target: str, files: Files) -> list[str]:
    if target == "kubeflow":
        return [
            found for path, body in files.items() if path.startswith("pipelines/") for found in kfp_check.check(body)
        ]
    found: list[str] = import_module(f"ctc.targets.{target}.check_bundle").check_bundle(files)
    return found


def test_a_job_is_a_pipeline_of_three_steps_and_a_record(tmp_path: Path) -> None:
    made = system(tmp_path, "kubeflow")
    assert [pipeline.kind for pipeline in made.scores] == ["score-nightly", "score-weekly"]
    nightly, weekly = made.scores
    assert nightly.name == "churn-score-nightly"
    assert [step.name for step in nightly.steps()] == ["rows", "predict-champion", "publish", "record"]
    predict = [[step for step in job.steps() if step.runs is Runs.CHAMPION] for job in (nightly, weekly)]
    assert [step.resources.cpu for [step] in predict] == [8, 1]
    assert [cron[0] for cron in made.wakes.crons] == ["monthly", "score-nightly", "score-weekly"]
    assert made.cron_path("score-nightly") == "serving.nightly.batch.schedule"
    assert made.cron_path("monthly") == "triggers.monthly.schedule"
    documents = {step.name: step.document for step in nightly.steps()}
    assert documents == {step.name: step.document for step in weekly.steps()}, "one document serves all jobs"


def test_the_wake_is_told_when_jobs_are_due(tmp_path: Path) -> None:
    [wake] = system(tmp_path, "kubeflow").wake.steps()
    assert wake.document is not None
    nightly = {
        "name": "nightly",
        "cron": "0 5 * * *",
        "timezone": "Europe/Oslo",
        "write": "append",
        "lease": 5 * 3600.0,
    }
    assert wake.document["policy"]["triggers"]["batch"][0] == nightly


def test_without_batch_entries_nothing_is_there(tmp_path: Path) -> None:
    text = re.sub(r"\nserving:.*?\nnotifications:", "\nnotifications:", SPEC.read_text(), flags=re.DOTALL)
    (tmp_path / "none.yaml").write_text(text)
    loaded = load_spec(tmp_path / "none.yaml", None, "kubeflow")
    assert loaded.spec is not None
    made = lower(loaded.spec, "kubeflow")
    [wake] = made.wake.steps()
    assert wake.document is not None
    assert "batch" not in wake.document["policy"]["triggers"]
    assert made.scores == made.outs == ()


@pytest.fixture(scope="module", params=targets.NAMES)
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Files]:
    return request.param, emitted(system(tmp_path_factory.mktemp("good"), request.param))


def test_every_target_emits_the_jobs(good: tuple[str, Files]) -> None:
    target, files = good
    kinds = {path.partition("/")[2].partition(".")[0] for path in files if path.startswith("pipelines/")}
    assert {"score-nightly", "score-weekly"} <= kinds
    assert problems(target, files) == []
    if target != "kubeflow":
        schedules = [path for path in files if path.startswith("schedules/")]
        assert sum("score-nightly" in path for path in schedules) == 1
        assert sum("score-weekly" in path for path in schedules) == 1


def test_a_schedule_that_a_service_cannot_say_is_told_where_it_stands(tmp_path: Path) -> None:
    for target in ("sagemaker", "vertex", "azureml"):
        made = system(tmp_path, target, "0 5 * * *", "0 5 */2 * mon")
        [found] = targets.load(target).limits(made)
        assert found.path.startswith("serving.nightly.batch.schedule")


@pytest.mark.parametrize(("target", "code"), [("sagemaker", "CT342"), ("vertex", "CT371")])
def test_scores_are_written_to_the_store_of_the_service(target: str, code: str, tmp_path: Path) -> None:
    made = system(tmp_path, target, f"{STORES[target]}/scores/", "hdfs://lake/scores/")
    [found] = targets.load(target).limits(made)
    assert (found.code, found.path) == (code, "serving.nightly.batch.out")


def test_a_machine_that_nobody_has_is_told_where_it_is_asked_for(tmp_path: Path) -> None:
    for target in ("sagemaker", "vertex", "azureml"):
        made = system(tmp_path, target, "resources: {cpu: 8, memory: 32Gi}", "resources: {cpu: 9000, memory: 32Gi}")
        assert "serving.nightly.resources" in {item.path for item in targets.load(target).limits(made)}


def _grants(files: Files, wanted: Callable[[dict[str, Any]], bool]) -> None:
    grants = files["identities/grants.json"]["grants"]
    files["identities/grants.json"]["grants"] = [grant for grant in grants if not wanted(grant)]
    assert len(files["identities/grants.json"]["grants"]) < len(grants)


def _no_writer(files: Files) -> None:
    _grants(files, lambda grant: "writer" in json.dumps(grant))


def _other_place(files: Files) -> None:
    text = json.dumps(files["identities/grants.json"])
    assert "whole/" in text
    files["identities/grants.json"] = json.loads(text.replace("whole/", "elsewhere/"))


def _statement(files: Files, sid: str) -> dict[str, Any]:
    policy = files["identities/pipeline.policy.json"]
    return next(statement for statement in policy["Statement"] if statement["Sid"] == sid)


def _no_scores(files: Files) -> None:
    files["identities/pipeline.policy.json"]["Statement"].remove(_statement(files, "Scores"))


def _not_started(files: Files) -> None:
    _statement(files, "Train")["Resource"].pop()


def _not_recorded(files: Files) -> None:
    rule = files["events/record-rule.json"]
    pattern = json.loads(rule["EventPattern"])
    pattern["detail"]["pipelineArn"].pop()
    rule["EventPattern"] = json.dumps(pattern, sort_keys=True)


def _same_name(files: Files) -> None:
    request = files["requests/score-weekly.json"]
    request["PipelineName"] = files["requests/score-nightly.json"]["PipelineName"]


def _reads_nothing(files: Files) -> None:
    text = json.dumps(files["pipelines/score-nightly.json"])
    assert "Steps.rows.ProcessingOutputConfig" in text
    changed = text.replace("Steps.rows.ProcessingOutputConfig", "Steps.snapshot.ProcessingOutputConfig")
    files["pipelines/score-nightly.json"] = json.loads(changed)


def _other_account(files: Files) -> None:
    files["pipelines/score-nightly.json"]["serviceAccount"] = "other@churn-ml.iam.gserviceaccount.com"


def _no_task(files: Files) -> None:
    path = next(path for path in files if path.startswith("pipelines/score-nightly"))
    body = files[path].get("pipelineSpec", files[path])
    del body["components"]["comp-publish"]


def _no_document(files: Files) -> None:
    del files["documents/rows.json"]


def _no_step(files: Files) -> None:
    del files["pipelines/score-nightly.yml"]["jobs"]["rows"]


BROKEN: list[tuple[str, str, Callable[[Files], None]]] = [
    ("kubeflow", "a task without its component", _no_task),
    ("sagemaker", "scores that nobody may write", _no_scores),
    ("sagemaker", "a job that wake may not start", _not_started),
    ("sagemaker", "a job whose end nobody hears", _not_recorded),
    ("sagemaker", "two jobs of one name", _same_name),
    ("sagemaker", "a step that reads another pipeline's", _reads_nothing),
    ("vertex", "scores that nobody may write", _no_writer),
    ("vertex", "scores that go elsewhere", _other_place),
    ("vertex", "a job as another account", _other_account),
    ("vertex", "a task without its component", _no_task),
    ("azureml", "scores that nobody may write", _no_writer),
    ("azureml", "scores that go elsewhere", _other_place),
    ("azureml", "a step without its document", _no_document),
    ("azureml", "a step that is not there", _no_step),
]


@pytest.mark.parametrize(("target", "what", "change"), BROKEN, ids=[f"{one}-{what}" for one, what, _ in BROKEN])
def test_our_own_checks_see_what_is_broken(
    target: str, what: str, change: Callable[[Files], None], tmp_path: Path
) -> None:
    files = copy.deepcopy(emitted(system(tmp_path, target)))
    assert problems(target, files) == []
    change(files)
    found = problems(target, files)
    assert [problem for problem in found if not problem.startswith("template.json")], what


def test_the_right_to_write_is_for_the_scores_alone(tmp_path: Path) -> None:
    files = emitted(system(tmp_path, "sagemaker"))
    scores = _statement(files, "Scores")
    assert scores["Action"] == ["s3:PutObject"]
    assert scores["Resource"] == ["arn:aws:s3:::acme-churn/scores/*", "arn:aws:s3:::acme-churn/whole/*"]

    role = emitted(system(tmp_path, "vertex"))["identities/role-writer.json"]["role"]
    assert role["includedPermissions"] == ["storage.objects.create", "storage.objects.delete"]

    role = emitted(system(tmp_path, "azureml"))["identities/role-writer.json"]
    assert [name.rpartition("blobs/")[2] for name in role["DataActions"]] == ["add/action", "write"]
