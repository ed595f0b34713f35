"""One processing or training job on this machine: its folders, its files, its container as a process.

The container's root is a sandbox folder: every `/opt/ml` in the entrypoint, the arguments, the environment and the
configuration files becomes a path inside it. Inputs are copied in, so that no container spoils what is stored, and
outputs go back when the container ended well. Folders and files are those of the service's developer guide ("How
Amazon SageMaker provides training information", "Build your own processing container"). Standard library only.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPT_ML = "/opt/ml"
LAST_LINES = 20
TAIL_BYTES = 16384
DEFAULT_SECONDS = 86_400
"""Of a job without a stopping condition: one day, the service's default."""
GRACE_SECONDS = 120.0
"""Between SIGTERM and SIGKILL, as the service has it."""
MESSAGE_BYTES = 1024
"""The service shows so much of an exit message; a failure's reason is told whole here."""
_PARTIAL = ".partial.tmp"
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


class Refused(Exception):
    """The document asks for something that makes no sense, or is not understood here. The message is for a person."""


class JobFailed(Exception):
    """The step failed; the message is its failure reason."""


@dataclass(frozen=True)
class Host:
    """This machine: URI prefixes with the folders that stand for them, the whole environment of each process, the
    folder in which processes start, and one that may be filled with sandboxes."""

    mounts: Mapping[str, Path]
    environment: Mapping[str, str]
    working: Path
    scratch: Path

    def path(self, uri: str) -> Path:
        """The local path of a URI, by the longest prefix that fits; Refused below none of them.

        A plain path, or a `file://` URI, is of this machine, from the working folder on.
        """
        if "://" not in uri or uri.startswith("file://"):
            return self.working / uri.removeprefix("file://")
        for prefix in sorted(self.mounts, key=len, reverse=True):
            root = prefix.rstrip("/")
            if uri == root or uri.startswith(root + "/"):
                parts = [part for part in uri[len(root) :].split("/") if part]
                if ".." in parts:
                    raise Refused(f"{uri} leaves its bucket")
                return self.mounts[prefix].joinpath(*parts)
        raise Refused(f"{uri} is below none of the folders that stand for S3 here: {', '.join(self.mounts) or 'none'}")


def run_job(type_: str, name: str, arguments: Mapping[str, Any], host: Host) -> dict[str, Any]:
    """Runs one job to its end; returns what Describe would answer. JobFailed with the reason if it failed."""
    sandbox = host.scratch / name
    shutil.rmtree(sandbox, ignore_errors=True)
    try:
        job = _processing if type_ == "Processing" else _training
        return job(name, arguments, host, sandbox)
    finally:
        shutil.rmtree(sandbox, ignore_errors=True)


def _processing(name: str, arguments: Mapping[str, Any], host: Host, sandbox: Path) -> dict[str, Any]:
    _one_instance(arguments["ProcessingResources"]["ClusterConfig"])
    for item in arguments.get("ProcessingInputs", []):
        if "S3Input" not in item:
            raise Refused(f"the input {item['InputName']} is no S3Input")
        _download(item["S3Input"]["S3Uri"], _inside(sandbox, item["S3Input"]["LocalPath"]), host)
    outputs = arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for item in outputs:
        _inside(sandbox, item["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
    _write(sandbox, "config/processingjobconfig.json", {"ProcessingJobName": name, **arguments})
    _write(sandbox, "config/resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    (sandbox / "opt/ml/output").mkdir(parents=True)
    arn = f"arn:aws:sagemaker:local:000000000000:processing-job/{name}"
    failure = _contain(
        arguments["AppSpecification"],
        {**arguments.get("Environment", {}), "PROCESSING_JOB_NAME": name, "PROCESSING_JOB_ARN": arn},
        arguments.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_SECONDS),
        host,
        sandbox,
    )
    message = _exit_message(sandbox / "opt/ml/output/message")
    if failure:
        raise JobFailed(message or failure)
    for item in outputs:
        _upload(_inside(sandbox, item["S3Output"]["LocalPath"]), item["S3Output"]["S3Uri"], host)
    ended = {"ProcessingJobName": name, "ProcessingJobArn": arn, "ProcessingJobStatus": "Completed"}
    return {**arguments, **ended, "ExitMessage": message.encode()[:MESSAGE_BYTES].decode("utf-8", "ignore")}


def _training(name: str, arguments: Mapping[str, Any], host: Host, sandbox: Path) -> dict[str, Any]:
    hosts = [f"algo-{number}" for number in range(1, arguments["ResourceConfig"]["InstanceCount"] + 1)]
    channels = arguments.get("InputDataConfig", [])
    for channel in channels:
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise Refused(f"the channel {channel['ChannelName']} is no S3DataSource")
        _download(source["S3Uri"], sandbox / "opt/ml/input/data" / channel["ChannelName"], host)
    _write(sandbox, "input/config/hyperparameters.json", arguments.get("HyperParameters", {}))
    _write(sandbox, "input/config/inputdataconfig.json", {item["ChannelName"]: _channel(item) for item in channels})
    # The container of the first machine is the only one here: it starts what runs on all of them.
    _write(sandbox, "input/config/resourceconfig.json", {"current_host": hosts[0], "hosts": hosts})
    for folder in ("model", "output/data"):
        (sandbox / "opt/ml" / folder).mkdir(parents=True)
    checkpoints = arguments.get("CheckpointConfig")
    if checkpoints is not None:
        # What the service copies to and fro while the job runs is one folder here: it outlives a killed run.
        kept, place = host.path(checkpoints["S3Uri"]), checkpoints.get("LocalPath", f"{OPT_ML}/checkpoints")
        kept.mkdir(parents=True, exist_ok=True)
        _inside(sandbox, place).parent.mkdir(parents=True, exist_ok=True)
        _inside(sandbox, place).symlink_to(kept.absolute(), target_is_directory=True)
    arn = f"arn:aws:sagemaker:local:000000000000:training-job/{name}"
    failure = _contain(
        arguments["AlgorithmSpecification"],
        {**arguments.get("Environment", {}), "TRAINING_JOB_NAME": name, "TRAINING_JOB_ARN": arn},
        arguments.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_SECONDS),
        host,
        sandbox,
    )
    if failure:
        file = sandbox / "opt/ml/output/failure"
        raise JobFailed(file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else failure)
    artifacts = _model(name, arguments["OutputDataConfig"], host, sandbox)
    ended = {"TrainingJobName": name, "TrainingJobArn": arn, "TrainingJobStatus": "Completed"}
    return {**arguments, **ended, "ModelArtifacts": {"S3ModelArtifacts": artifacts}}


def _model(name: str, output: Mapping[str, Any], host: Host, sandbox: Path) -> str:
    """Uploads the model and the output data; returns the model's URI, a prefix or an archive as asked for."""
    place = f"{output['S3OutputPath'].rstrip('/')}/{name}/output"
    model, data = sandbox / "opt/ml/model", sandbox / "opt/ml/output/data"
    if output.get("CompressionType", "GZIP") == "NONE":
        _upload(model, f"{place}/model", host)
        _upload(data, f"{place}/data", host)
        return f"{place}/model"
    target = host.path(place)
    target.mkdir(parents=True, exist_ok=True)
    for folder, archive in ((model, "model.tar.gz"), (data, "output.tar.gz")):
        with tarfile.open(target / archive, "w:gz") as file:
            for item in sorted(folder.iterdir()):
                file.add(item, arcname=item.name)
    return f"{place}/model.tar.gz"


def _one_instance(cluster: Mapping[str, Any]) -> None:
    if cluster["InstanceCount"] != 1:
        raise Refused(f"a job of {cluster['InstanceCount']} instances cannot run on one machine")


def _channel(channel: Mapping[str, Any]) -> dict[str, Any]:
    source = channel["DataSource"]["S3DataSource"]
    return {
        "TrainingInputMode": channel.get("InputMode", "File"),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }


def _write(sandbox: Path, name: str, document: Mapping[str, Any]) -> None:
    path = sandbox / "opt/ml" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rewritten(document, sandbox)), encoding="utf-8")


def _rewritten(value: Any, sandbox: Path) -> Any:
    """A value in which the container's root is the sandbox."""
    if isinstance(value, str):
        return value.replace(OPT_ML, f"{sandbox}{OPT_ML}")
    if isinstance(value, Mapping):
        return {key: _rewritten(item, sandbox) for key, item in value.items()}
    return [_rewritten(item, sandbox) for item in value] if isinstance(value, list) else value


def _inside(sandbox: Path, local_path: str) -> Path:
    if not local_path.startswith(f"{OPT_ML}/") or ".." in local_path.split("/"):
        raise Refused(f"the local path {local_path} is not below {OPT_ML}")
    return sandbox / local_path.lstrip("/")


def _download(uri: str, folder: Path, host: Host) -> None:
    """Copies what a prefix holds. A prefix without any object fails the job, as it does at the service."""
    source = host.path(uri)
    found = [source] if source.is_file() else sorted(path for path in source.rglob("*") if _is_object(path))
    if not found:
        raise JobFailed(f"there are no S3 objects below {uri}")
    base = source.parent if source.is_file() else source
    for path in found:
        target = folder / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _is_object(path: Path) -> bool:
    """Uploads are whole or absent: what a killed one left is no object."""
    return path.is_file() and not path.name.endswith(_PARTIAL)


def _upload(folder: Path, uri: str, host: Host) -> None:
    """Moves the files of a folder to a prefix, each at once; symbolic links are left out, as at the service."""
    target = host.path(uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            place = target / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            partial = place.with_name(place.name + _PARTIAL)
            try:
                shutil.move(path, partial)
                partial.replace(place)
            finally:
                partial.unlink(missing_ok=True)


def _exit_message(path: Path) -> str:
    """What the container wrote to `/opt/ml/output/message`; text that is not UTF-8 fails the job."""
    if not path.is_file():
        return ""
    try:
        return path.read_bytes().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise JobFailed(f"{OPT_ML}/output/message is not UTF-8: {error}") from error


def _contain(
    container: Mapping[str, Any], variables: Mapping[str, Any], seconds: float, host: Host, sandbox: Path
) -> str:
    """Runs the container's command to its end; "" if that was a good one, else why not."""
    if not container.get("ContainerEntrypoint"):
        raise Refused("without a ContainerEntrypoint the image decides what runs, and there is no image here")
    words = [*container["ContainerEntrypoint"], *container.get("ContainerArguments", [])]
    command: list[str] = _rewritten([str(word) for word in words], sandbox)
    environment: dict[str, str] = _rewritten({name: str(value) for name, value in variables.items()}, sandbox)
    with _started(command, {**host.environment, **environment}, host.working) as process:
        tail = bytearray()
        reader = threading.Thread(target=_stream, args=(process, tail), daemon=True)
        reader.start()
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
        # A container ends with its first process: nothing that it started lives on.
        _signal(process, signal.SIGKILL)
        process.wait()
        reader.join(5)
    lines = "\n".join(tail.decode("utf-8", "replace").splitlines()[-LAST_LINES:])
    if code is None:
        return f"MaxRuntimeExceeded: it ran longer than {seconds:g} seconds; its last lines:\n{lines}"
    how = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
    return "" if code == 0 else f"the container {how}; its last lines:\n{lines}"


@contextlib.contextmanager
def _started(command: list[str], environment: Mapping[str, str], working: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The container's process, in a group of its own, which never outlives the block nor this process."""
    program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise JobFailed(f"ClientError: {command[0]} is not on PATH")
    try:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=working,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        raise JobFailed(f"ClientError: {command[0]} cannot be run: {error.strerror}") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            _signal(process, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_DEATH_SIGNAL, int(signal.SIGKILL))


def _stream(process: subprocess.Popen[bytes], tail: bytearray) -> None:
    """Passes the container's output on to stderr as it comes, and keeps its end."""
    assert process.stdout is not None
    output, decoder = process.stdout.fileno(), codecs.getincrementaldecoder("utf-8")("replace")
    for chunk in iter(lambda: os.read(output, 65536), b""):
        tail.extend(chunk)
        del tail[:-TAIL_BYTES]
        sys.stderr.write(decoder.decode(chunk))
        sys.stderr.flush()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
