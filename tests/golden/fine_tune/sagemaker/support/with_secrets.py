"""Puts the secrets of a step into the environment of its program: for jobs of a service that hands over none.

Standard library only, Python 3.7 or newer, one text. Each word before `--step` that is none of the program's is
`VARIABLE=HERE=ADDRESS`: the value of HERE, a variable of this process, is that of the secret on one machine; without
it the secret is read from its store, by the job's own identity. An address that ends with `:access` is one of Google's
Secret Manager (REST v1), another URL one of Azure's Key Vault, anything else a name in AWS Secrets Manager, which is
asked through the image's boto3. A value is in no word, no file and no message.

It runs a program beside it, whose file is then the first word; or it stands before the program in one text.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import runpy
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

TRIES, PAUSE_SECONDS, PATIENCE_SECONDS = 4, 1.0, 10.0
"""How often a service is asked that does not answer, the first pause between (each next is twice as long), and how
long one answer is waited for."""
PASSING = (408, 429, 500, 502, 503, 504)
"""What a service says that is not there for now."""
VAULT, VAULT_VERSION = "https://vault.azure.net", "7.4"
"""Whose tokens Key Vault takes, and its REST version."""
SAID = 300


class Missing(Exception):
    """The message is for a person, and holds no value."""


class Unanswered(Exception):
    """What a service said instead of an answer; `status` is 0 where it said nothing."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token is for the service that is asked, and for no other that it names."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def reason_of(text: bytes) -> str:
    """What the body of a refusal tells, in one line."""
    try:
        told = json.loads(text.decode("utf-8"))["error"]
        message = told["message"] if isinstance(told, dict) else told
    except (ValueError, KeyError, TypeError):
        return ""
    return " (%s)" % " ".join(str(message).split())[:SAID]


def ask(url: str, headers: dict[str, str], near: bool = False) -> dict[str, Any]:
    """The JSON document at a URL; one that is `near` is on this machine's own network, where no proxy stands between.

    Raises Unanswered where none comes. No URL and no answer is part of its message.
    """
    proxies = [urllib.request.ProxyHandler({})] if near else []
    opener, status = urllib.request.build_opener(NoRedirect(), *proxies), 0
    for number in range(TRIES):
        time.sleep(PAUSE_SECONDS * 2 ** (number - 1) if number else 0.0)
        try:
            with opener.open(urllib.request.Request(url, headers=headers), timeout=PATIENCE_SECONDS) as answer:
                found = json.loads(answer.read().decode("utf-8"))
            if isinstance(found, dict):
                return found
            said = "it answers with another document"
            break
        except urllib.error.HTTPError as error:
            status, said = error.code, "it answers HTTP %d%s" % (error.code, reason_of(error.read()))
            if status not in PASSING:
                break
        except (OSError, http.client.HTTPException) as error:
            status, said = 0, "no answer: %s" % (getattr(error, "reason", None) or error)
        except ValueError:
            said = "it answers with no JSON"
            break
    raise Unanswered(said, status)


def google_token() -> str:
    """A token of the job's service account. `GCE_METADATA_HOST` names another metadata server, as for Google's SDKs."""
    host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
    url = "http://%s/computeMetadata/v1/instance/service-accounts/default/token" % host
    return str(ask(url, {"Metadata-Flavor": "Google"}, near=True)["access_token"])


def google_value(address: str, token: str) -> str:
    found = ask(address, {"Authorization": "Bearer " + token})
    return base64.b64decode(found["payload"]["data"]).decode("utf-8")


def azure_token() -> str:
    """A token of the job's managed identity: of the endpoint that Azure ML names, else of the machine's own.

    Variables and requests are those of azure-identity 1.25, `AzureMLCredential` and `ImdsCredential`.
    """
    query, client = {"resource": VAULT}, os.environ.get("DEFAULT_IDENTITY_CLIENT_ID")
    endpoint, secret = os.environ.get("MSI_ENDPOINT"), os.environ.get("MSI_SECRET")
    if endpoint and secret:
        query.update({"api-version": "2017-09-01"}, **({"clientid": client} if client else {}))
        headers = {"secret": secret}
    else:
        host = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or "http://169.254.169.254"
        endpoint, headers = host.rstrip("/") + "/metadata/identity/oauth2/token", {"Metadata": "true"}
        query.update({"api-version": "2018-02-01"}, **({"client_id": client} if client else {}))
    return str(ask(endpoint + "?" + urllib.parse.urlencode(query), headers, near=True)["access_token"])


def azure_value(address: str, token: str) -> str:
    query = urllib.parse.urlencode({"api-version": VAULT_VERSION})
    return str(ask(address + "?" + query, {"Authorization": "Bearer " + token})["value"])


STORES = {
    True: ("Secret Manager", "roles/secretmanager.secretAccessor", google_token, google_value),
    False: ("Key Vault", "the role Key Vault Secrets User", azure_token, azure_value),
}
"""Of an address of Google's and of one of Azure's: the store, what lets a job read, and how it is read."""


def name_of(address: str) -> str:
    """The secret's own name in the address of its store."""
    return address.rpartition("/secrets/")[2].partition("/")[0]


def from_service(address: str) -> str:
    """The text at an address of Google's or Azure's store."""
    store, role, token_of, value_at = STORES[address.endswith(":access")]
    start = "the secret %s cannot be read from %s: " % (name_of(address), store)
    try:
        token = token_of()
    except Unanswered as error:
        advice = "the job needs an identity"
        raise Missing("%sthere is no token: of the metadata server %s; %s" % (start, error, advice)) from error
    except KeyError as error:
        raise Missing("%sthe metadata server answers without a token" % start) from error
    try:
        return value_at(address, token)
    except Unanswered as error:
        advice = "try again later"
        if error.status == 404:
            advice = "there is none of that name, or no version of it that is enabled"
        elif error.status:
            advice = "the job's identity needs %s on it" % role
        raise Missing("%s%s; %s" % (start, error, advice)) from error
    except (KeyError, TypeError, ValueError):
        # No cause: what it could not read is the value.
        raise Missing("%sit holds no text" % start) from None


def from_aws(name: str) -> str:
    """The text of a secret of AWS Secrets Manager."""
    try:
        import boto3
    except ImportError as error:
        advice = "install it in the training image: pip install boto3"
        raise Missing("the secret %s is read through boto3, which this image lacks; %s" % (name, advice)) from error
    # `arn:aws:sagemaker:REGION:...`: the secret lies where the job runs.
    job = os.environ.get("TRAINING_JOB_ARN") or os.environ.get("PROCESSING_JOB_ARN") or ""
    region = job.split(":")[3] if job.count(":") > 3 else None
    try:
        answer = boto3.client("secretsmanager", region_name=region).get_secret_value(SecretId=name)
    except Exception as error:
        # botocore makes its classes as it goes; its messages hold the name and the reason.
        advice = "the job's role needs secretsmanager:GetSecretValue on it"
        raise Missing("the secret %s cannot be read: %s; %s" % (name, error, advice)) from error
    return str(answer.get("SecretString") or "")


def value_of(here: str, address: str) -> str:
    """The secret's text. Missing where it cannot be had."""
    value = os.environ.get(here, "").strip()
    if value:
        return value
    name = name_of(address) if "://" in address else address
    if os.environ.get("CTC_MOUNTS"):
        raise Missing("the secret %s is not there: set the environment variable %s" % (name, here))
    value = (from_service(address) if "://" in address else from_aws(address)).strip()
    if not value:
        raise Missing("the secret %s holds no text" % name)
    return value


def fill_in(words: list[str]) -> bool:
    """Fills the environment in, by the words before `--step`; False, having said why, where a secret is missing."""
    cut = words.index("--step")
    try:
        for word in words[:cut]:
            variable, here, address = word.split("=", 2)
            os.environ[variable] = value_of(here, address)
    except Missing as missing:
        error = "%s failed: %s" % (words[cut + 1], missing)
        print("ctc: " + error, file=sys.stderr, flush=True)
        if "--failure" in words:
            with open(words[words.index("--failure") + 1], "w", encoding="utf-8") as file:
                file.write(error)
        return False
    return True


def main(words: list[str]) -> int:
    """Fills the environment in and runs the program, which ends the process; returns 1 where a secret is missing."""
    if not fill_in(words[1:]):
        return 1
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), words[0])
    sys.argv = [program, *words[words.index("--step") :]]
    runpy.run_path(program, run_name="__main__")
    return 0


def before() -> None:
    """What this does in one text with the program that stands after it: ends the process where a secret is missing."""
    if not fill_in(sys.argv[1:]):
        sys.exit(1)
    sys.argv[1:] = sys.argv[sys.argv.index("--step") :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
