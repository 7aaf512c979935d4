"""Strimzi's resources: the very topics of the code and the very rights of acls.csv."""

from __future__ import annotations

import csv
import re

import pytest
import yaml

from deploy.strimzi import main
from hookline.kernel.config import load
from hookline.schemas.topics import Topics, TopicsConfig, specs
from tests.deploy.guarded import DEPLOY

pytestmark = pytest.mark.unit

NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def test_what_is_printed_is_what_the_code_wants(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Names, partitions, copies, settings and rights come back from the YAML as they are in the code, under the prefix that is set."""
    monkeypatch.setenv("HOOKLINE_TOPIC_PREFIX", "shop")
    monkeypatch.setenv("HOOKLINE_EVENT_PARTITIONS", "12")
    main(["events"])
    found = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {one["metadata"]["labels"]["strimzi.io/cluster"] for one in found} == {"events"}
    assert all(NAME.fullmatch(one["metadata"]["name"]) for one in found)
    made = {one["spec"]["topicName"]: one["spec"] for one in found if one["kind"] == "KafkaTopic"}
    config = load(TopicsConfig, {"HOOKLINE_EVENT_PARTITIONS": "12"})
    for spec in specs(Topics("shop"), config):
        settings = {**spec.config, "min.insync.replicas": "2"}
        wanted = {"topicName": spec.name, "partitions": spec.partitions, "replicas": 3, "config": settings}
        assert made.pop(spec.name) == wanted
    assert made == {}
    rights = [
        (one["metadata"]["name"], acl["resource"]["type"], acl["resource"]["patternType"], acl["resource"]["name"], acl["operations"])
        for one in found
        if one["kind"] == "KafkaUser"
        for acl in one["spec"]["authorization"]["acls"]
    ]
    with (DEPLOY / "kafka" / "acls.csv").open(encoding="utf-8", newline="") as file:
        lines = [
            (
                row["principal"],
                row["resource"],
                row["pattern"].removesuffix("ed"),
                row["name"].replace("{prefix}", "shop"),
                row["operations"].split(),
            )
            for row in csv.DictReader(file)
        ]
    assert rights == lines


def test_each_user_comes_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second resource of the same name would take the rights of the first away."""
    main(["events"])
    names = [(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(capsys.readouterr().out)]
    assert len(set(names)) == len(names)
