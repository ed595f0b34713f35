"""A spec with all that only a deployment has (a network, a key, mapped events) runs on this machine as one without."""

from __future__ import annotations

from pathlib import Path

import project

FACTS = (
    ', kms_key: "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"'
    ", subnets: [subnet-0a1b2c3d], security_groups: [sg-0a1b2c3d]"
    ", events: {shop-opened: {eventbridge: {source: shops}}}}\n"
)
INSTANT = "2024-02-28T06:00:00Z"


def test_facts_of_a_deployment_are_left_out_and_told(tmp_path: Path) -> None:
    spec = project.make(tmp_path)
    text = project.SPEC.replace("bucket: toy-ct}\n  vertex", "bucket: toy-ct" + FACTS + "  vertex")
    text = text.replace(
        "  fresh_labels: {new_data: {min_rows: 400}}\n", "  opened: {event: {name: shop-opened, max_age: 1h}}\n"
    )
    assert "subnet-" in text
    assert "opened" in text
    spec.write_text(text)
    records = project.run(spec, "--at", INSTANT, "--event", "shop-opened", target="sagemaker")

    attempts = [record for record in records if record["kind"] == "attempt"]
    assert [record["outcome"] for record in attempts] == ["candidate"]
    assert "opened" in str([record["triggers"] for record in records if record["kind"] == "wake"])
    for log in project.state(spec, "sagemaker").rglob("log.txt"):
        assert "facts of a deployment, not used here: KmsKeyId, VolumeKmsKeyId, VpcConfig" in log.read_text()
        break
    else:
        raise AssertionError("no training left a log")
