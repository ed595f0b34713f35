"""What stands in the account before a deploy: the bucket, the roles, the images, and what these credentials may do.

Only reading requests. The commands that are advised are those of the bundle's `BOOTSTRAP.md`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import Runs, System
from ctc.deploy.compare import differences
from ctc.deploy.inspect import Finding
from ctc.deploy.resource import CloudError, Resource
from ctc.targets.sagemaker import identities, names, resources
from ctc.targets.sagemaker.deploy import SageMakerHands
from ctc.targets.sagemaker.session import Denied, Missing, Session, Unsigned

SHEET = "BOOTSTRAP.md"
_FIELDS = 5
"""So many differences of a policy are told."""

_ASSUMED = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.+")


def inspect(system: System, bundle: Bundle) -> Iterator[Finding]:
    """Everything that can be looked at. CtcError if boto3 is not installed."""
    return Inspection(system, bundle, Session(names.region(system))).findings()


class Inspection:
    """One look at the account of a system's role."""

    def __init__(self, system: System, bundle: Bundle, session: Session) -> None:
        self._system, self._call = system, session.call
        self._files = {item.path: item.content for item in bundle.artifacts}
        self._hands = SageMakerHands(system, bundle, session)
        self._bucket = system.root.removeprefix("s3://").partition("/")[0]

    def findings(self) -> Iterator[Finding]:
        """In the order in which an administrator works; without credentials of the account there is one only."""
        try:
            who = self._hands.whoami()
        except Unsigned as error:
            yield Finding("skip", "credentials", "there are none here: nothing was asked", error.help)
            return
        except CloudError as error:
            yield Finding("fail", "credentials", error.message, error.help)
            return
        account = names.account(self._system)
        if f":{account}:" not in who:
            cause = f"{who} is of another account than {self._system.settings['role']}"
            yield Finding(
                "fail", "credentials", cause, f"sign in to the account {account}, or mend the role of the spec"
            )
            return
        yield Finding("ok", "credentials", who)
        yield from self._each(
            (f"bucket/{self._bucket}", self._storage),
            *((item.address, lambda item=item: self._role(item)) for item in self._hands.desired() if item.admin),
            *((f"image/{image}", lambda image=image: self._image(image)) for image in self._images()),
            *((f"secret/{name}", lambda name=name: self._secret(name)) for name in identities.secrets(self._system)),
            *((f"event-bus/{bus}", lambda bus=bus: self._bus(bus)) for bus in self._buses()),
            *((f"key/{key}", lambda key=key: self._key(key)) for key in [self._system.settings.get("kms_key")] if key),
            ("rights", lambda: self._rights(who)),
        )
        cause = "how many machines of each type the account may have is not asked"
        yield Finding("skip", "quotas", cause, "look at Service Quotas, Amazon SageMaker: new accounts have few")

    def _each(self, *parts: tuple[str, Callable[[], Iterator[Finding]]]) -> Iterator[Finding]:
        """The findings of each part. What may not be looked at is told, and the others go on."""
        for place, part in parts:
            try:
                yield from part()
            except Denied as error:
                yield Finding("skip", place, error.message, "ask somebody who may, or let them run ctc doctor")
            except CloudError as error:
                yield Finding("fail", place, error.message, error.help)

    def _storage(self) -> Iterator[Finding]:
        place, asked = f"bucket/{self._bucket}", {"Bucket": self._bucket}
        try:
            self._call("s3", "head_bucket", place, **asked)
        except Missing:
            yield Finding("fail", place, "there is no such bucket", self._advice("s3api create-bucket", self._bucket))
            return
        found = self._call("s3", "get_bucket_location", place, **asked).get("LocationConstraint") or "us-east-1"
        region = names.region(self._system)
        if found != region:
            cause = f"it is in {found}, and the jobs run in {region}: SageMaker reads buckets of its own region only"
            yield Finding("fail", place, cause, f"name a bucket of {region}, or the region {found}, in the spec")
        else:
            yield Finding("ok", place, f"it is there, in {region}")
        yield from self._each(
            (f"{place}, versions", self._versions),
            (f"{place}, public access", self._closed),
            *(((f"{place}, encryption", self._encrypted),) if self._system.settings.get("kms_key") else ()),
        )

    def _versions(self) -> Iterator[Finding]:
        place = f"bucket/{self._bucket}, versions"
        if self._call("s3", "get_bucket_versioning", place, Bucket=self._bucket).get("Status") == "Enabled":
            yield Finding("ok", place, "old versions are kept")
        else:
            cause = "old versions are not kept: a state document that is lost stays lost"
            yield Finding("warn", place, cause, self._advice("s3api put-bucket-versioning", self._bucket))

    def _closed(self) -> Iterator[Finding]:
        place, advice = f"bucket/{self._bucket}, public access", "s3api put-public-access-block"
        try:
            said = self._call("s3", "get_public_access_block", place, Bucket=self._bucket)
        except Missing:
            said = {}
        closed = said.get("PublicAccessBlockConfiguration", {})
        left = [name for name in _CLOSED if not closed.get(name)]
        if left:
            yield Finding("warn", place, f"{', '.join(left)} is not set", self._advice(advice, self._bucket))
        else:
            yield Finding("ok", place, "blocked")

    def _encrypted(self) -> Iterator[Finding]:
        place, key = f"bucket/{self._bucket}, encryption", str(self._system.settings["kms_key"])
        try:
            said = self._call("s3", "get_bucket_encryption", place, Bucket=self._bucket)
            rules = said["ServerSideEncryptionConfiguration"]["Rules"]
        except Missing:
            rules = []
        used = [rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID") for rule in rules]
        if key in used:
            yield Finding("ok", place, "by the key of the spec")
        else:
            cause = f"by {used[0] if used and used[0] else 'a key of the service'}, not by the key of the spec"
            yield Finding("warn", place, cause, self._advice("s3api put-bucket-encryption", self._bucket))

    def _role(self, resource: Resource) -> Iterator[Finding]:
        place, name = resource.address, resource.name.partition("/")[0]
        verb = "iam put-role-policy" if resource.kind == "role-policy" else "iam create-role"
        live = self._hands.read(resource)
        if live is None:
            what = "policy" if resource.kind == "role-policy" else "role"
            yield Finding("fail", place, f"there is no such {what}", self._advice(verb, name))
            return
        fields = [field.path for field in differences(resource.body, live.body, ())]
        if fields:
            more = f" and {len(fields) - _FIELDS} more" if len(fields) > _FIELDS else ""
            cause = f"it is not what the spec needs: {', '.join(fields[:_FIELDS])}{more}"
            yield Finding("warn", place, cause, self._advice("iam put-role-policy", name))
        elif resource.kind == "given-role":
            yield from self._given(place, name)
        else:
            yield Finding("ok", place, "it is what the spec needs")

    def _given(self, place: str, name: str) -> Iterator[Finding]:
        """The role of the settings: its ARN has a path, and its trust is an administrator's own."""
        said, wanted = self._call("iam", "get_role", place, RoleName=name)["Role"], str(self._system.settings["role"])
        service = identities.SERVICES["pipeline"]
        if said["Arn"] != wanted:
            yield Finding(
                "fail", place, f"its ARN is {said['Arn']}, the spec says {wanted}", "mend the role of the spec"
            )
        elif service not in json.dumps(said["AssumeRolePolicyDocument"]):
            cause = f"{service} may not assume it"
            advice = (
                f"aws iam update-assume-role-policy --role-name {name} "
                "--policy-document file://identities/pipeline.trust.json"
            )
            yield Finding("fail", place, cause, advice)
        else:
            yield Finding("ok", place, f"{service} may assume it")

    def _images(self) -> list[str]:
        steps = [step for pipeline in self._system.pipelines for step in pipeline.steps()]
        return sorted({step.image for step in steps if step.image and step.runs is not Runs.CHAMPION})

    def _image(self, image: str) -> Iterator[Finding]:
        place, found = f"image/{image}", identities.ECR.match(image)
        if found is None:
            cause = "it is not in ECR: the service pulls other registries only inside a VPC that reaches them"
            advice = "" if self._system.settings.get("subnets") else "mirror it to ECR and name that"
            yield Finding("warn" if advice else "skip", place, cause, advice or "try it from the spec's subnets")
            return
        region = names.region(self._system)
        if found[2] != region:
            cause = f"its registry is in {found[2]}, the jobs run in {region}: SageMaker pulls from its own region only"
            yield Finding("fail", place, cause, f"push it to {region} and name that")
            return
        _, at, digest = image.partition("@")
        tag = image.rpartition("/")[2].partition(":")[2] or "latest"
        wanted = {"imageDigest": digest} if at else {"imageTag": tag}
        asked = {"registryId": found[1], "repositoryName": found[3], "imageIds": [wanted]}
        try:
            self._call("ecr", "describe_images", place, **asked)
        except Missing as error:
            gone = "RepositoryNotFound" in error.message
            cause = f"there is no {'repository' if gone else 'image'} of that name"
            create = f"aws ecr create-repository --repository-name {found[3]} --region {region}; then "
            yield Finding("fail", place, cause, f"{create if gone else ''}ctc package --push")
        else:
            yield Finding("ok", place, "it is there")

    def _secret(self, name: str) -> Iterator[Finding]:
        place = f"secret/{name}"
        try:
            said = self._call("secretsmanager", "describe_secret", place, SecretId=name)
        except Missing:
            advice = self._advice("secretsmanager create-secret", name)
            yield Finding("fail", place, "there is no such secret", advice)
            return
        if said.get("DeletedDate"):
            advice = f"aws secretsmanager restore-secret --secret-id {name}"
            yield Finding("fail", place, "it is to be deleted", advice)
        else:
            yield Finding("ok", place, "it is there; its value was not looked at")

    def _buses(self) -> list[str]:
        heard = resources.heard(self._system).values()
        return sorted({str(item.mapped.get("bus", "default")) for item in heard} - {"default"})

    def _bus(self, bus: str) -> Iterator[Finding]:
        try:
            self._call("events", "describe_event_bus", f"event-bus/{bus}", Name=bus)
        except Missing:
            advice = f"aws events create-event-bus --name {bus} --region {names.region(self._system)}"
            yield Finding("fail", f"event-bus/{bus}", "there is no such event bus", advice)
        else:
            yield Finding("ok", f"event-bus/{bus}", "it is there")

    def _key(self, key: str) -> Iterator[Finding]:
        try:
            state = self._call("kms", "describe_key", f"key/{key}", KeyId=key)["KeyMetadata"]["KeyState"]
        except Missing:
            yield Finding("fail", f"key/{key}", "there is no such key", "mend kms_key of the spec")
            return
        good = state == "Enabled"
        yield Finding("ok" if good else "fail", f"key/{key}", f"it is {state}", "" if good else "enable it")

    def _rights(self, who: str) -> Iterator[Finding]:
        """What of `identities/deployer.json` these credentials may not do, as IAM itself simulates it."""
        assumed = _ASSUMED.fullmatch(who)
        source = f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}" if assumed else who
        if source.endswith(":root"):
            yield Finding(
                "warn", "rights", f"{who} may do anything", "deploy as somebody with identities/deployer.json"
            )
            return
        denied: list[str] = []
        for statement in json.loads(self._files["identities/deployer.json"])["Statement"]:
            denied += self._denied(source, statement)
        if denied:
            more = f" and {len(denied) - _FIELDS} more" if len(denied) > _FIELDS else ""
            cause = f"{source} may not {'; '.join(denied[:_FIELDS])}{more}"
            yield Finding("fail", "rights", cause, f"attach it identities/deployer.json: {self._advice(_POLICY, '')}")
        else:
            yield Finding("ok", "rights", f"{source} may do all of identities/deployer.json")

    def _denied(self, source: str, statement: Mapping[str, Any]) -> Iterator[str]:
        asked = {
            "PolicySourceArn": source,
            "ActionNames": list(statement["Action"]),
            "ResourceArns": list(statement["Resource"]),
            "ContextEntries": [
                {"ContextKeyName": key, "ContextKeyValues": [_one(value)], "ContextKeyType": "string"}
                for condition in statement.get("Condition", {}).values()
                for key, value in condition.items()
            ],
        }
        more: dict[str, str] = {}
        while True:
            said = self._call("iam", "simulate_principal_policy", "rights", **asked, **more)
            for result in said["EvaluationResults"]:
                if result["EvalDecision"] != "allowed":
                    yield f"{result['EvalActionName']} on {result.get('EvalResourceName', '*')}"
            if not said.get("IsTruncated"):
                return
            more = {"Marker": said["Marker"]}

    def _advice(self, verb: str, name: str) -> str:
        """The sheet's own command for it."""
        lines = self._files[SHEET].decode().splitlines()
        words = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])") if name else re.compile("")
        command = next((line for line in lines if line.startswith(f"aws {verb} ") and words.search(line)), "")
        return f"an administrator runs, in the bundle's folder: {command}" if command else "ctc bootstrap says how"


_CLOSED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_POLICY = "iam create-policy"


def _one(value: Any) -> str:
    """A value that a condition allows, without its wildcards."""
    first = value[0] if isinstance(value, list) else value
    return str(first).replace("*", "x")
