"""Names, and images: what they are called, and whether they stay what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, Tree, check, check_on_target, check_tree
from ctc.language.secrets import secret_variable
from ctc.language.spec import Secret, Spec

MAX_NAME = 40
"""With what targets append (pipeline, step and resource suffixes), the shortest limit of a service is 63."""

_TAKEN = re.compile("[a-z]([a-z0-9-]*[a-z0-9])?")
"""What Kubernetes and every cloud take for the name of a resource: RFC 1123, label names."""

_PIPELINES = ("train", "wake", "record")
"""What follows a deployed name in the names of its own pipelines and rules."""

_SECRET_NAMES: dict[str, tuple[str, int, str]] = {
    "kubeflow": (r"[a-z0-9.-]+(/[A-Za-z0-9_.-]+)?", 253, "a Kubernetes secret is named by a-z, 0-9, `.` and `-`"),
    "vertex": (r"[A-Za-z0-9_-]+", 255, "Secret Manager takes letters, digits, `_` and `-`"),
    "azureml": (r"[A-Za-z0-9-]+", 127, "Key Vault takes letters, digits and `-`"),
}
"""A pattern, the most characters, and what it takes in words. AWS Secrets Manager takes all that the language does."""


@check("CT230", "a name that is too long for what targets append, or that they do not take")
def names_are_taken(spec: Spec) -> Iterator[Finding]:
    name = spec.deployed_name
    added = name.removeprefix(spec.name)
    if _TAKEN.fullmatch(name) is None:
        own = _TAKEN.fullmatch(spec.model_name) is not None
        path = f"environments.{spec.environment}" if own and added else "name"
        message = f"resources would be called `{name}`, which no service takes"
        yield Finding(path, message, "write lower-case letters, digits and inner `-`: no `_`, and no `-` at the end")
    elif len(name) > MAX_NAME:
        parts = " and ".join(
            what for what, there in (("the row", spec.row), ("the environment", name != spec.model_name)) if there
        )
        whole = f", with what {parts} {'add' if ' and ' in parts else 'adds'} to it (`{name}`)" if added else ""
        yield Finding("name", f"the name has {len(name)} characters{whole}; {MAX_NAME} are the most", "shorten it")


@check_tree("CT509", "a name that is taken for something else", Severity.WARNING)
def names_are_not_mistaken(tree: Tree) -> Iterator[Finding]:
    name, environments = str(tree["name"]), tree.get("environments") or {}
    for kind in _PIPELINES:
        if name.endswith(f"-{kind}"):
            model = name.removesuffix(f"-{kind}")
            message = f"`{name}` is also what the {kind} pipeline of a spec called `{model}` is named"
            yield Finding("name", message, f"call it such as `{model}`: the suffix of a pipeline is added to it")
        if kind in environments:
            message = f"in `{kind}`, resources are called `{name}-{kind}`, as the {kind} pipeline of `{name}` itself is"
            yield Finding(f"environments.{kind}", message, "give the environment another name")
    if "default" in environments:
        message = f"`default` stands for having no environments: its resources are called `{name}`, without a suffix"
        yield Finding("environments.default", message, "call it `dev` or `prod`, or what it is")


@check("CT502", "an image that is not fixed by its digest", Severity.WARNING)
def images_are_fixed(spec: Spec) -> Iterator[Finding]:
    for image, paths in _images(spec).items():
        if "@sha256:" not in image:
            tag = image.rsplit("/", 1)[-1].partition(":")[2]
            what = f"the tag `{tag}` can move" if tag else "an image without tag or digest is `latest`"
            message = f"{what}: the same spec may run other code tomorrow{_also(paths)}"
            yield Finding(paths[0], message, "write the image with its digest, NAME@sha256:...")


@check("CT503", "an image digest that is none")
def digests_are_whole(spec: Spec) -> Iterator[Finding]:
    for image, paths in _images(spec).items():
        digest = image.partition("@sha256:")[2]
        if "@sha256:" in image and not re.fullmatch("[0-9a-f]{64}", digest):
            message = f"a sha256 digest has 64 hexadecimal digits, this one has {len(digest)} characters"
            if len(digest) == 64:
                message = "a sha256 digest has the digits 0-9 and a-f only"
            yield Finding(paths[0], f"{message}{_also(paths)}", "copy the digest that the registry shows")


def _images(spec: Spec) -> dict[str, list[str]]:
    """Every image, and the paths of where it stands: one image in several places is one finding."""
    named = [("runtime.image", spec.runtime_image), ("training.image", spec.training.image)]
    if spec.prepare is not None and spec.prepare.image is not None:
        named.append(("prepare.image", spec.prepare.image))
    if spec.evaluation.score is not None:
        named.append(("evaluation.score.image", spec.evaluation.score.image))
    servers = [(entry.name, entry.online) for entry in spec.serving if entry.online is not None]
    named += [(f"serving.{name}.online.image", online.image) for name, online in servers]
    images: dict[str, list[str]] = {}
    for path, image in named:
        images.setdefault(image, []).append(path)
    return images


def _also(paths: list[str]) -> str:
    return f" (also {', '.join(f'`{path}`' for path in paths[1:])})" if paths[1:] else ""


@check_on_target("CT304", "a secret whose name this target's store does not take")
def secrets_can_be_named(spec: Spec, target: str) -> Iterator[Finding]:
    if target not in _SECRET_NAMES:
        return
    pattern, most, said = _SECRET_NAMES[target]
    seen: set[str] = set()
    for path, name in _secrets(spec):
        if name not in seen and (len(name) > most or re.fullmatch(pattern, name) is None):
            message = f"{target} cannot look up `{path}`: {said}, at most {most}"
            yield Finding(path, message, "call it by lower-case letters, digits and `-`, which every store takes")
        seen.add(name)


@check("CT510", "two secrets that are one variable")
def secrets_are_told_apart(spec: Spec) -> Iterator[Finding]:
    """On one machine a secret is a variable, whose name has one character for several of the secret's."""
    seen: dict[str, tuple[str, str]] = {}
    for path, name in _secrets(spec):
        other, known = seen.setdefault(secret_variable(name), (path, name))
        if known != name:
            message = f"`{path}` and `{other}` are read from the same variable where steps run on one machine"
            yield Finding(path, message, "give one of them another name; `-`, `.` and `/` all become `_`")


def _secrets(spec: Spec) -> Iterator[tuple[str, str]]:
    """The secrets that a spec refers to, by name."""
    for name, value in spec.training.env.items():
        if isinstance(value, Secret):
            yield f"training.env.{name}.secret", value.secret
    for entry in spec.notifications:
        for key, value in entry.arguments.items():
            if isinstance(value, Secret):
                yield f"notifications.{entry.name}.{entry.kind}.{key}.secret", value.secret
