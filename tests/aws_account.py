"""An account as an administrator leaves it: the commands of a bundle's own `BOOTSTRAP.md`, carried out."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore import xform_name
from moto.server import ThreadedMotoServer

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.language.load import load_spec


@contextmanager
def prepared(spec: Path) -> Iterator[dict[str, str]]:
    """An account on loopback as the spec's administrator left it; gives the environment that reaches it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    # What moto holds is the process's, not the server's.
    requests.post(f"{address}/moto-api/reset", timeout=10).raise_for_status()
    reached = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in reached.items():
            patch.setenv(name, value)
        loaded = load_spec(spec, None, "sagemaker")
        assert loaded.spec is not None
        built = build(loaded.spec, targets.load("sagemaker"))
        assert built.bundle is not None
        bootstrap((built.system, built.bundle))
        yield reached
    server.stop()


def bootstrap(made: tuple[System, Bundle]) -> None:
    """What the administrator's sheet says, up to the rights of whoever deploys: its own commands."""
    files = {item.path: item.content.decode() for item in made[1].artifacts}
    sheet = files["BOOTSTRAP.md"].partition("## Whoever deploys")[0]
    region = made[0].settings["region"]
    for block in re.findall(r"```sh\n(.*?)```", sheet, re.DOTALL):
        for line in block.splitlines():
            _, service, verb, *words = shlex.split(line)
            if service != "secretsmanager":
                reached = os.environ.get("AWS_ENDPOINT_URL")
                client = _client("s3" if service == "s3api" else service, region, reached)
                getattr(client, verb.replace("-", "_"))(**_arguments(client, verb, words, files))


@functools.cache
def _client(service: str, region: str, endpoint: str | None) -> Any:
    """Opening one takes longer than all that it is asked here."""
    return boto3.client(service, region_name=region, endpoint_url=endpoint)


def _arguments(client: Any, verb: str, words: list[str], files: Mapping[str, str]) -> dict[str, Any]:
    """The words of an `aws` command as the arguments of the client."""
    operation = client.meta.method_to_api_mapping[verb.replace("-", "_")]
    members = client.meta.service_model.operation_model(operation).input_shape.members
    named = {xform_name(name, "-"): name for name in members}
    given: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            given[word[2:]] = []
        else:
            given[list(given)[-1]].append(word)
    return {
        named[option]: _value(members[named[option]], values, files)
        for option, values in given.items()
        if option in named
    }


def _value(shape: Any, words: list[str], files: Mapping[str, str]) -> Any:
    if shape.type_name == "list":
        return [_value(shape.member, [word], files) for word in words]
    [word] = words
    if shape.type_name == "structure":
        if word.startswith("{"):
            return json.loads(word)
        pairs = dict(pair.split("=", 1) for pair in word.split(","))
        return {key: value == "true" if value in ("true", "false") else value for key, value in pairs.items()}
    return files[word.removeprefix("file://")] if word.startswith("file://") else word
