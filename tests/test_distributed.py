"""A training on several machines: what each process is told, what becomes of outputs and failures, on every target."""

from __future__ import annotations

import argparse
import ast
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import project
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import vertex_system

from ctc import targets
from ctc.compiler.build import Built, build
from ctc.compiler.lower import lower
from ctc.language.load import load_spec
from ctc.steps import meeting, nodes
from ctc.steps.shim import Places, Work
from ctc.steps.shim_files import Failed
from ctc.targets import vertex
from ctc.targets.shim import PROGRAMS, after_secrets, bare, nodes_told, program
from ctc.targets.vertex.pipeline import ESCAPED_INPUT, payload

AT = "2024-02-19T06:00:00Z"
TOGETHER = "  distributed: {nodes: 2, launcher: torchrun}\n  resources: {gpu: {type: t4, count: 2}, disk: 10Gi}\n"

TRAIN = """
import argparse, json, os, pathlib, socket, time
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--train", "--valid", "--out", "--smooth"):
    parser.add_argument(name)
args = parser.parse_args()
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
mine = pq.read_table(args.train).to_pylist()[rank::world]
print("RANK", rank, "OF", world, "HAS", len(mine), flush=True)
seen = {}
for row in mine:
    key = f"{row['shop']}|{row['amount'] > 50}|{(row['price'] or 0) > 10}"
    good, n = seen.get(key, (0, 0))
    seen[key] = (good + row["bought"], n + 1)
if rank:
    for _ in range(200):
        try:
            link = socket.create_connection(place)
            break
        except OSError:
            time.sleep(0.05)
    link.sendall(json.dumps(seen).encode())
    link.close()
else:
    meet = socket.create_server(place)
    for _ in range(world - 1):
        text = b""
        link, _ = meet.accept()
        while chunk := link.recv(65536):
            text += chunk
        for key, (good, n) in json.loads(text).items():
            before = seen.get(key, (0, 0))
            seen[key] = (before[0] + good, before[1] + n)
    rates = {key: (good + 0.5) / (n + 1.0) for key, (good, n) in sorted(seen.items())}
    pathlib.Path(args.out, "model.json").write_text(json.dumps(rates))
"""


def together(folder: Path) -> Path:
    """The project, trained by two nodes of two processes each, which meet at a socket and add up what they counted."""
    spec = project.make(folder / "toy", days=60)
    text = spec.read_text()
    assert "  timeout: 2m\n" in text
    spec.write_text(text.replace("  timeout: 2m\n", f"  timeout: 2m\n{TOGETHER}"))
    (spec.parent / "train.py").write_text(TRAIN)
    return spec


@pytest.mark.parametrize(
    "target",
    ["vertex", pytest.param("sagemaker", marks=pytest.mark.soak), pytest.param("azureml", marks=pytest.mark.soak)],
)
def test_all_processes_of_all_nodes_train_one_model(target: str, tmp_path: Path) -> None:
    found = []
    for spec in (project.make(tmp_path / "one", days=60), together(tmp_path / "many")):
        records = project.run(spec, "--at", AT, target=target)
        [attempt] = [record for record in records if record["kind"] == "attempt"]
        assert attempt["outcome"] == "candidate", attempt["error"] or attempt["reason"]
        found.append(attempt["evaluation"]["metrics"])
    log = (project.state(spec, target) / "attempts" / attempt["id"] / "log.txt").read_text()
    told = sorted(line.split()[:4] for line in log.splitlines() if line.startswith("RANK"))

    assert told == [["RANK", str(rank), "OF", "4"] for rank in range(4)]
    assert found[0] == found[1], "four quarters make the whole"


def built(folder: Path, target: str, launcher: str) -> Built:
    spec = project.make(folder / "toy", days=1)
    text = spec.read_text().replace("  timeout: 2m\n", f"  timeout: 2m\n{TOGETHER}")
    spec.write_text(text.replace("launcher: torchrun", f"launcher: {launcher}"))
    loaded = load_spec(spec, None, target)
    assert loaded.spec is not None, loaded.diagnostics
    assert loaded.spec.gaps_on(target) == (() if launcher == "torchrun" else ("training.distributed.launcher",))
    return build(loaded.spec, targets.load(target))


@pytest.mark.parametrize("target", targets.NAMES)
@pytest.mark.parametrize("launcher", ["torchrun", "mpi"])
def test_what_a_target_cannot_do_is_refused_with_what_to_do(target: str, launcher: str, tmp_path: Path) -> None:
    made = built(tmp_path, target, launcher)
    errors = [(item.code, item.path, item.help) for item in made.diagnostics if item.severity.value == "error"]
    if launcher == "torchrun" and target != "kubeflow":
        assert errors == []
        return
    [(code, path, advice)] = errors
    assert (code, path) == ("CT301", "training.distributed")
    assert ("TrainJob" if launcher == "torchrun" else "launcher: torchrun") in advice


def test_one_step_is_of_several_machines(tmp_path: Path) -> None:
    loaded = load_spec(together(tmp_path), None, "vertex")
    assert loaded.spec is not None
    assert {step.name: step.nodes for step in lower(loaded.spec, "vertex").train.steps() if step.nodes > 1} == {
        "train": 2
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--step", "train", "--option", "nodes=3", "--", "python"], 3),
        (["--step", "train", "--option", "processes=3", "--", "--option", "nodes=4"], 1),
        (["gate.py", "--", "shim.py", "--step", "train", "--option", "nodes=2"], 2),
        ([], 1),
    ],
)
def test_only_the_programs_own_words_tell_how_many(words: list[str], found: int) -> None:
    assert nodes_told(words) == found


OPTIONS = {"nodes": "3", "processes": "2"}


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (
        "CTC_MOUNTS",
        "CLUSTER_SPEC",
        "MASTER_ADDR",
        "MASTER_PORT",
        "NODE_RANK",
        "WORLD_SIZE",
        "OMP_NUM_THREADS",
    ):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_sagemaker_tells_in_a_file(nowhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "resourceconfig.json"
    file.write_text(json.dumps({"current_host": "algo-2", "hosts": ["algo-2", "algo-10", "algo-1"]}))
    group = nodes.group_of({**OPTIONS, "hosts": str(file)})
    assert group == nodes.Group(["algo-1", "algo-2", "algo-10"], 29500, [1], 2)


@pytest.mark.parametrize(
    ("pool", "index", "rank"), [("workerpool0", 0, 0), ("workerpool1", 0, 1), ("workerpool1", 1, 2)]
)
def test_vertex_tells_in_its_cluster_spec(nowhere: pytest.MonkeyPatch, pool: str, index: int, rank: int) -> None:
    cluster = {"workerpool0": ["main:2222"], "workerpool1": ["one:2222", "two:2222"]}
    nowhere.setenv("CLUSTER_SPEC", json.dumps({"cluster": cluster, "task": {"type": pool, "index": index}}))
    assert nodes.group_of(OPTIONS) == nodes.Group(["main", "one", "two"], 2222, [rank], 2)


def test_azure_tells_in_variables(nowhere: pytest.MonkeyPatch) -> None:
    told = {"MASTER_ADDR": "10.0.0.4", "MASTER_PORT": "6105", "NODE_RANK": "2", "WORLD_SIZE": "3", "RANK": "2"}
    for name, value in told.items():
        nowhere.setenv(name, value)
    group = nodes.group_of(OPTIONS)
    assert (group.hosts[0], len(group.hosts), group.port, group.here) == ("10.0.0.4", 3, 6105, [2])
    nowhere.setenv("WORLD_SIZE", "2")
    with pytest.raises(Failed, match="asked for 3 machines, and the platform gave 2"):
        nodes.group_of(OPTIONS)


def test_a_platform_that_tells_nothing_is_told(nowhere: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failed, match="which of the 3 machines"):
        nodes.group_of(OPTIONS)


def test_ranks_are_counted_node_by_node(nowhere: pytest.MonkeyPatch) -> None:
    """What PyTorch's `torch.distributed.run` says of its variables."""
    found = [
        nodes.variables(nodes.Group(["a", "b", "c"], 7, [node], 2), node, local)
        for node in range(3)
        for local in (0, 1)
    ]
    assert [item["RANK"] for item in found] == ["0", "1", "2", "3", "4", "5"] == [item["ROLE_RANK"] for item in found]
    assert [(item["GROUP_RANK"], item["LOCAL_RANK"]) for item in found][3] == ("1", "1")
    same = {"WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "7", "OMP_NUM_THREADS": "1"}
    assert all(item.items() >= same.items() for item in found)
    nowhere.setenv("OMP_NUM_THREADS", "8")
    assert nodes.variables(nodes.Group(["a"], 7, [0], 2), 0, 0)["OMP_NUM_THREADS"] == "8"


SET_BY_TORCHRUN = """
    LOCAL_RANK RANK GROUP_RANK ROLE_RANK ROLE_NAME LOCAL_WORLD_SIZE WORLD_SIZE GROUP_WORLD_SIZE ROLE_WORLD_SIZE
    MASTER_ADDR MASTER_PORT TORCHELASTIC_RESTART_COUNT TORCHELASTIC_MAX_RESTARTS TORCHELASTIC_RUN_ID
    TORCHELASTIC_USE_AGENT_STORE TORCH_NCCL_ASYNC_ERROR_HANDLING
"""
"""pytorch/pytorch, torch/distributed/elastic/agent/server/local_elastic_agent.py: `worker_env`."""


def test_every_variable_of_torchruns_is_set(nowhere: pytest.MonkeyPatch) -> None:
    assert set(nodes.variables(nodes.Group(["a", "b"], 7, [1], 1), 1, 0)) == set(SET_BY_TORCHRUN.split())


def command(script: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script)]


def ran(script: str, outputs: dict[str, str], *, timeout: float = 30.0, retries: int = 0) -> None:
    """All nodes on this machine."""
    arguments = argparse.Namespace(step="train", retries=retries, timeout=timeout)
    work = Work([*command(script), "{model}"], [], "", {}, "")
    group = nodes.Group([f"127.0.0.{number}" for number in (1, 2)], nodes.free_port(), [0, 1], 1)
    nodes.as_nodes(group, arguments, work, Places({}, outputs, {}), lambda node: {"NODE": str(node)})


@pytest.fixture
def model(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "model").mkdir()
    return {"model": str(tmp_path / "model")}


Machines = tuple[subprocess.Popen[str], subprocess.Popen[str]]


def machines(folder: Path, script: str, *options: str) -> Machines:
    """The program as two machines of Vertex AI run it, each with a folder of its own for the model."""
    (folder / "nodes.py").write_text(program("nodes"))
    # The one after it is that of the machines.
    port = project.free_port()
    cluster = {"workerpool0": [f"127.0.0.1:{port}"], "workerpool1": [f"127.0.0.1:{port}"]}
    found = []
    for pool in cluster:
        (folder / pool).mkdir(exist_ok=True)
        words = ["--step", "train", "--output", f"model={folder / pool}", "--timeout", "30", *options]
        words += ["--option", "nodes=2", "--option", "processes=1", "--", *command(script), "{model}"]
        told = json.dumps({"cluster": cluster, "task": {"type": pool, "index": 0}})
        environment = {name: value for name, value in os.environ.items() if name != "CTC_MOUNTS"}
        argv = [sys.executable, "-I", str(folder / "nodes.py"), *words]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        found.append(subprocess.Popen(argv, env={**environment, "CLUSTER_SPEC": told}, cwd=folder, **pipes))
    return found[0], found[1]


def ends(both: Machines) -> list[tuple[int, str]]:
    """How each ended, and what it printed."""
    try:
        return [(process.returncode, text) for process in both for text in [process.communicate(timeout=60)[0]]]
    finally:
        for process in both:
            process.kill()
            process.wait()


MEETS = """
    import os, pathlib, socket, sys, time
    place, rank = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), os.environ["RANK"]
    if rank == "0":
        with socket.create_server(place) as server:
            server.settimeout(20)
            text = server.accept()[0].recv(100).decode()
    else:
        for _ in range(200):
            try:
                socket.create_connection(place).sendall(b"hello")
                break
            except OSError:
                time.sleep(0.05)
        text = "said"
    pathlib.Path(sys.argv[1], rank).write_text(text)
"""


def test_two_machines_meet_and_the_first_writes_the_model(tmp_path: Path) -> None:
    found = ends(machines(tmp_path, MEETS))
    assert [code for code, _ in found] == [0, 0], found
    assert (tmp_path / "workerpool0" / "0").read_text() == "hello"
    assert os.listdir(tmp_path / "workerpool1") == []


def test_a_failure_on_one_machine_ends_the_try_of_all(tmp_path: Path) -> None:
    script = """
        import os, sys, time
        if os.environ["RANK"] == "1":
            sys.exit("no memory on rank 1")
        time.sleep(50)
    """
    start = time.monotonic()
    (first, told), (other, own) = ends(machines(tmp_path, script, "--retries", "1"))
    assert (first, other) == (1, 1)
    assert "train failed" in told and "machine 1 of 2: no memory on rank 1" in told
    assert "exited with code 1 (2 tries)" in told and "exited with code 1 (2 tries)" in own
    assert time.monotonic() - start < 30


def test_all_machines_try_again_together(tmp_path: Path) -> None:
    script = f"""
        import os, pathlib, sys, time
        rank, seen = os.environ["RANK"], pathlib.Path({str(tmp_path)!r}, "tries" + os.environ["RANK"])
        number = len(seen.read_text()) if seen.exists() else 0
        seen.write_text("x" * (number + 1))
        # At its first try rank 0 ends well at once, and rank 1 fails later: both try again.
        if rank == "1" and number == 0:
            time.sleep(0.5)
            sys.exit(3)
        pathlib.Path(sys.argv[1], rank).write_text("model")
    """
    found = ends(machines(tmp_path, script, "--retries", "2"))
    assert [code for code, _ in found] == [0, 0], found
    assert [(tmp_path / f"tries{rank}").read_text() for rank in (0, 1)] == ["xx", "xx"]
    assert os.listdir(tmp_path / "workerpool0") == ["0"]


def test_time_that_is_up_on_one_is_up_on_all(tmp_path: Path) -> None:
    script = "import os, time; time.sleep(0 if os.environ['RANK'] == '1' else 50)"
    found = ends(machines(tmp_path, script, "--timeout", "1"))
    assert [code for code, _ in found] == [124, 124], found


@pytest.mark.parametrize("gone", [0, 1])
def test_a_machine_that_is_gone_has_failed(gone: int, tmp_path: Path) -> None:
    both = machines(tmp_path, "import time; print('UP', flush=True); time.sleep(50)")
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "UP\n"
    both[gone].kill()
    (code, told) = ends(both)[1 - gone]
    assert code == 1
    assert ("machine 1 of 2: it is gone" if gone else "another machine failed") in told


def test_machines_that_do_not_come_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "PATIENCE_SECONDS", 0.3)
    port = project.free_port()
    with pytest.raises(Failed, match=r"the first of the machines does not answer within 0\.3 seconds"):
        meeting.Other("127.0.0.1", port, 1).begin()
    first = meeting.First(port, 3)
    with first.server, pytest.raises(Failed, match=r"1 of 3 machines came within 0\.3 seconds"):
        first.begin()


def test_the_workers_of_vertex_run_what_is_compiled(tmp_path: Path) -> None:
    """Both pools of the emitted job, side by side, with what the service sets: the model is that of one machine."""
    made = built(tmp_path, "vertex", "torchrun")
    assert made.bundle is not None
    [content] = [item.content for item in made.bundle.artifacts if item.path == "pipelines/train.json"]
    job = payload(json.loads(content)["pipelineSpec"]["deploymentSpec"]["executors"]["exec-train"])
    assert job is not None
    pools, port = job["job_spec"]["worker_pool_specs"], project.free_port()
    assert [pool["replica_count"] for pool in pools] == [1, 1]
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "rows").mkdir()
    rows = [
        {"shop": "abc"[number % 3], "amount": number % 90, "price": 5, "bought": number % 2} for number in range(60)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows" / "data.parquet")
    artifact = {
        name: {"artifacts": [{"uri": str(tmp_path / folder)}]}
        for name, folder in (("train", "rows"), ("valid", "rows"))
    }
    output = tmp_path / "told" / "output.json"
    given = {
        "inputs": {"artifacts": artifact, "parameterValues": {"attempt": "a"}},
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"uri": str(tmp_path / "model")}]}}, "outputFile": str(output),
        },
    }  # fmt: skip
    cluster = {f"workerpool{number}": [f"127.0.0.1:{port}"] for number in range(2)}
    found = []
    for number, pool in enumerate(pools):
        container = pool["container_spec"]
        words = [json.dumps(given) if word == ESCAPED_INPUT else word for word in container["args"]]
        words[words.index("--checkpoints") + 1] = str(tmp_path / "kept")
        words = [sys.executable if word == "python" else word for word in words]
        told = {"cluster": cluster, "task": {"type": f"workerpool{number}", "index": 0}}
        environment = {name: value for name, value in os.environ.items() if name != "CTC_MOUNTS"}
        environment |= {item["name"]: item["value"] for item in container["env"]} | {"CLUSTER_SPEC": json.dumps(told)}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        argv = [sys.executable, *container["command"][1:], *words]
        found.append(subprocess.Popen(argv, env=environment, cwd=tmp_path, **pipes))
    done = ends((found[0], found[1]))

    assert [code for code, _ in done] == [0, 0], done
    ranks = sorted(line.split()[1] for _, text in done for line in text.splitlines() if line.startswith("RANK"))
    assert ranks == ["0", "1", "2", "3"]
    assert json.loads((tmp_path / "model" / "model.json").read_text()) == {
        f"{shop}|{big}|False": pytest.approx(rate(rows, shop, big)) for shop in "abc" for big in (False, True)
    }
    assert json.loads(output.read_text())["artifacts"]["model"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_bare_program_is_the_same_without_what_people_read(name: str) -> None:
    def bones(text: str) -> list[str]:
        tree = ast.parse(text)
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and len(body) > 1:
                texts = [item for item in body if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)]
                node.body = [item for item in body if item not in texts]  # type: ignore[attr-defined]
        return ast.dump(tree).split(",")

    whole = after_secrets(name) if name != "with_secrets" else program(name)
    assert bones(bare(whole)) == bones(whole)
    assert len(bare(whole)) < 0.85 * len(whole)


def test_the_largest_job_fits_into_a_word(tmp_path: Path) -> None:
    """Secrets, accelerators and several machines at once."""
    assert vertex.limits(vertex_system.full_system(tmp_path)) == ()


def rate(rows: list[dict[str, Any]], shop: str, big: bool) -> float:
    """Of the sales of a shop, as the training smooths it."""
    bought = [row["bought"] for row in rows if row["shop"] == shop and (row["amount"] > 50) is big]
    return (sum(bought) + 0.5) / (len(bought) + 1.0)


def test_one_that_fails_ends_the_others_and_is_told(model: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    script = """
        import os, sys, time
        if os.environ["RANK"] == "1":
            sys.exit("no memory on rank 1")
        time.sleep(60)
    """
    start = time.monotonic()
    with pytest.raises(Failed, match="no memory on rank 1") as failed:
        ran(script, model, retries=1)
    assert "exited with code 1 (2 tries)" in str(failed.value)
    assert time.monotonic() - start < 20


def test_lines_of_several_processes_stay_whole(
    model: dict[str, str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    script = """
        import os, pathlib, sys, time
        for number in range(20):
            for part in ("rank", os.environ["RANK"], "line", str(number)):
                os.write(1, part.encode() + b" ")
                time.sleep(0.002)
            os.write(1, b"\\n")
        os.write(1, b"no end")
        pathlib.Path(sys.argv[1], "m").touch()
    """
    ran(script, model)
    lines = capfdbinary.readouterr().out.decode().splitlines()
    for rank in "01":
        assert [line for line in lines if line.startswith(f"rank {rank} ")] == [
            f"rank {rank} line {n} " for n in range(20)
        ]
    assert sum(line.count("no end") for line in lines) == 2


def test_a_line_without_an_end_is_not_kept_back_for_ever(
    model: dict[str, str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    script = "import os, pathlib, sys; os.write(1, b'x' * 100000); pathlib.Path(sys.argv[1], 'm').touch()"
    ran(script, model)
    assert capfdbinary.readouterr().out.count(b"x") == 200_000


def test_all_are_ended_when_time_is_up(model: dict[str, str]) -> None:
    with pytest.raises(Failed, match=r"ran longer than 0\.5 seconds") as failed:
        ran("import time; time.sleep(60)", model, timeout=0.5)
    assert failed.value.code == 124


@pytest.mark.parametrize(
    ("interface", "wanted"),
    [
        ("sagemaker", {"SM_HOST_COUNT": "2", "SM_CURRENT_HOST": "127.0.0.2", "SM_CURRENT_HOST_RANK": "1"}),
        ("vertex", {}),
        ("azureml", {"NODE_RANK": "1"}),
    ],
)
def test_a_platforms_script_finds_its_host_where_it_looks(
    interface: str, wanted: dict[str, str], tmp_path: Path
) -> None:
    """The adapter as its own process, as an image runs it: each node's script sees its own host, and all of them."""
    for name in ("train", "model"):
        (tmp_path / name).mkdir()
    (tmp_path / "adapter.py").write_text(program("adapter"))
    script = """
        import json, os, pathlib
        seen = {name: value for name, value in os.environ.items()}
        pathlib.Path(os.environ["CTC_MODEL"], os.environ["RANK"]).write_text(json.dumps(seen))
    """
    words = ["--step", "train", "--input", f"train={tmp_path / 'train'}", "--output", f"model={tmp_path / 'model'}"]
    for option in (f"interface={interface}", "nodes=2", "processes=1"):
        words += ["--option", option]
    environment = {**os.environ, "CTC_MOUNTS": "{}", "CTC_HYPERPARAMETERS": "{}"}
    argv = [sys.executable, "-I", str(tmp_path / "adapter.py"), *words, "--", *command(script)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = [json.loads((tmp_path / "model" / rank).read_text()) for rank in ("0", "1")]
    assert found[1].items() >= wanted.items()
    assert found[0]["MASTER_PORT"] == found[1]["MASTER_PORT"]
    if interface == "sagemaker":
        assert json.loads(found[0]["SM_HOSTS"]) == ["127.0.0.1", "127.0.0.2"]
        assert found[0]["SM_CURRENT_HOST"] == found[0]["SM_MASTER_ADDR"] == "127.0.0.1"
        assert json.loads(found[1]["SM_TRAINING_ENV"])["current_host"] == "127.0.0.2"
    if interface == "vertex":
        specs = [json.loads(item["CLUSTER_SPEC"]) for item in found]
        assert [item["task"]["type"] for item in specs] == ["workerpool0", "workerpool1"]
        assert specs[0]["cluster"] == specs[1]["cluster"]


def test_the_platform_ends_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "nodes.py").write_text(program("nodes"))
    script = "import time; print('UP', flush=True); time.sleep(60)"
    argv = [sys.executable, "-I", str(tmp_path / "nodes.py"), "--step", "train", "--output", f"model={tmp_path / 'm'}"]
    argv += ["--option", "nodes=2", "--option", "processes=1", "--", sys.executable, "-c", script]
    with subprocess.Popen(argv, env={**os.environ, "CTC_MOUNTS": "{}"}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["UP\n", "UP\n"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
