"""`BOOTSTRAP.md`: what an administrator does once, before the first deployment. Made from the same documents."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.azureml import identities, serving
from ctc.targets.azureml.events import topics
from ctc.targets.azureml.places import datastore, sources, staleness_seconds, workspace_id
from ctc.targets.azureml.staleness import TABLE, watch_name


def sheet(system: System) -> bytes:
    """The sheet, in Markdown. Every value of the spec in a command is one quoted word of it."""
    return ("\n".join(_lines(system)) + "\n").encode()


def _lines(system: System) -> Iterator[str]:
    group = str(system.settings["resource_group"])
    yield from (
        f"# Before `{system.name}` is deployed to Azure Machine Learning",
        "",
        "An administrator runs this once, from the folder of this bundle, after reading it. Nothing here is run by",
        "ctc. Each role lists the operations that these jobs use, and no other; each grant says why it is there.",
        "",
        "## Where",
        "```sh",
        _command("account", "set", "--subscription", str(system.settings["subscription"])),
        _command("extension", "add", "--name", "ml"),
        "```",
        "",
        "## Identities and roles",
        "```sh",
    )
    if identities.needs_waker(system):
        yield _command("identity", "create", "--name", identities.waker_name(system), "--resource-group", group)
    for name in identities.roles(system):
        yield _command("role", "definition", "create", "--role-definition", f"identities/role-{name}.json")
    yield "```"
    yield ""
    yield "## Role assignments"
    yield "```sh"
    yield from _asked(system)
    for grant in identities.grants(system):
        yield f"# {grant['why']}"
        yield _grant(grant)
    yield "```"
    yield ""
    yield from _by_hand(system)


def _ml(system: System) -> list[str]:
    settings = system.settings
    return ["--resource-group", str(settings["resource_group"]), "--workspace-name", str(settings["workspace"])]


def _asked(system: System) -> Iterator[str]:
    """Shell variables and functions for what only Azure knows: principals, and the containers behind datastores."""
    group, runner = str(system.settings["resource_group"]), identities.runner_of(system)
    if "client_id" in runner:
        words = ["ad", "sp", "show", "--id", runner["client_id"], "--query", "id", "--output", "tsv"]
    else:
        words = ["ml", "compute", "show", "--name", runner["compute"], *_ml(system)]
        words += ["--query", "identity.principal_id", "--output", "tsv"]
    yield f"runner=$({_command(*words)})"
    if identities.needs_waker(system):
        words = ["identity", "show", "--name", identities.waker_name(system), "--resource-group", group]
        yield f"waker=$({_command(*words, '--query', 'principalId', '--output', 'tsv')})"
    show = _command("ml", "datastore", "show", *_ml(system))
    yield "container() {"
    yield f'  account=$({show} --name "$1" --query account_name --output tsv)'
    yield f'  name=$({show} --name "$1" --query container_name --output tsv)'
    yield '  id=$(az storage account show --name "$account" --query id --output tsv)'
    yield '  echo "$id/blobServices/default/containers/$name"'
    yield "}"
    if any(grant["scope"].startswith("secret:") for grant in identities.grants(system)):
        workspace = ("--name", str(system.settings["workspace"]), "--resource-group", group)
        words = ["ml", "workspace", "show", *workspace, "--query", "key_vault", "--output", "tsv"]
        yield f"vault=$({_command(*words)})"
    if any("workspace" in grant["principal"] for grant in identities.grants(system)):
        workspace = ("--name", str(system.settings["workspace"]), "--resource-group", group)
        show = _command("ml", "workspace", "show", *workspace, "--query", "primary_user_assigned_identity")
        yield f'trainer=$(az identity show --ids "$({show} --output tsv)" --query principalId --output tsv)'


def _grant(grant: Mapping[str, Any]) -> str:
    kind, _, name = grant["scope"].partition(":")
    scopes = {"datastore": f'"$(container {shlex.quote(name)})"', "secret": f'"$vault/secrets/{name}"'}
    known = {"identity": '"$waker"', "workspace": '"$trainer"'}
    who = next((name for kind_, name in known.items() if kind_ in grant["principal"]), '"$runner"')
    words = f"az role assignment create --assignee-object-id {who} --assignee-principal-type ServicePrincipal"
    words += f" --role {shlex.quote(grant['role'])} --scope {scopes.get(kind, shlex.quote(grant['scope']))}"
    if grant.get("condition"):
        words += f" --condition {shlex.quote(grant['condition'])} --condition-version 2.0"
    return words


def _by_hand(system: System) -> Iterator[str]:
    settings = system.settings
    own = datastore(system.root)
    yield "## By hand"
    yield f"- The cluster `{settings['compute']}` must exist, with a managed identity"
    if settings.get("identity"):
        yield f"  of the client id `{settings['identity']}`."
    else:
        yield "  of its own (system-assigned); with several, name one by its client id in `targets.azureml.identity`."
    if own is not None:
        yield f"- The datastore `{own[0]}` must exist. Turn on versioning of blobs in its storage account, so that no"
        yield "  state is lost."
    yield f"- Whoever deploys needs the role `{identities.role_name(system, 'deployer')}` on the resource group, and on"
    yield "  the container of that datastore."
    yield "- The user's steps run on serverless compute, which reads datastores with the keys that they hold, or as the"
    yield "  workspace's own identity: give that one the two roles on the containers where they hold none. Each VM"
    yield "  family that is used needs quota."
    if settings.get("key_vault"):
        yield "- The workspace must have a user-assigned identity, as which steps read secrets. Its key vault must be"
        yield f"  `{settings['key_vault']}`, with its rights in Azure's roles and not in access policies."
    yield "- Images are pulled by the workspace: from another registry than its own, it needs a connection to it."
    for server in system.servers:
        yield f"- The endpoint `{serving.endpoint_name(system, server)}` has an identity of its own, which"
        yield "  pulls the image and reads the model: whoever makes it needs the right to assign roles, or gives it"
        yield "  `AcrPull` on the registry and `Storage Blob Data Reader` on the container. Callers need"
        yield "  `Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action` on it."
    for uri in sorted({uri for uri in sources(system) if datastore(uri) is None}):
        yield f"- The runner must be able to read `{uri}`, which is no datastore: prefer one."
    for uri in sorted({uri for uri, _ in system.outs if datastore(uri) is None}):
        yield f"- The runner must be able to write to `{uri}`, which is no datastore: prefer one."
    for event, topic in topics(system).items():
        yield f"- The topic `{topic}` of the event `{event}` must exist."
    if staleness_seconds(system) is not None:
        yield f"- The staleness alarm reads `{TABLE}`: send that category of `{workspace_id(system)}`"
        yield "  to a Log Analytics workspace that keeps it for longer than the spec's `max_age`, by a diagnostic"
        yield "  setting."
        yield f"- The alert `{watch_name(system)}` needs your action groups."


def _command(*words: str) -> str:
    return shlex.join(("az", *words))
