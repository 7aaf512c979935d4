"""`python -m deploy.strimzi`: topics and users as Strimzi's resources, from the topics of the code and the rights of acls.csv."""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics, TopicsConfig, specs

_ACLS: Final = Path(__file__).parent / "kafka" / "acls.csv"
_PATTERNS: Final = {"literal": "literal", "prefixed": "prefix"}
_API: Final = "kafka.strimzi.io/v1"


def topics(prefix: str, config: TopicsConfig, cluster: str) -> Iterator[dict[str, Any]]:
    """Yield a KafkaTopic for each topic, as `hookline topics create` would make it."""
    for spec in specs(Topics(prefix), config):
        name = spec.name.strip("_").replace(".", "-").lower()
        copies = config.replication_factor
        settings = spec.config_with(copies)
        wanted = {"topicName": spec.name, "partitions": spec.partitions, "replicas": copies, "config": settings}
        yield {"apiVersion": _API, "kind": "KafkaTopic", "metadata": _named(name, cluster), "spec": wanted}


def users(prefix: str, cluster: str) -> Iterator[dict[str, Any]]:
    """Yield a KafkaUser for each principal of acls.csv, with SCRAM-SHA-512 and the rights of its lines."""
    with _ACLS.open(encoding="utf-8", newline="") as file:
        for principal, lines in itertools.groupby(csv.DictReader(file), key=lambda line: line["principal"]):
            rights = [_right(line, prefix) for line in lines]
            wanted = {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": rights}}
            yield {"apiVersion": _API, "kind": "KafkaUser", "metadata": _named(principal, cluster), "spec": wanted}


def _named(name: str, cluster: str) -> dict[str, Any]:
    return {"name": name, "labels": {"strimzi.io/cluster": cluster, "app.kubernetes.io/name": "hookline"}}


def _right(line: dict[str, str], prefix: str) -> dict[str, Any]:
    resource = {"type": line["resource"], "name": line["name"].replace("{prefix}", prefix), "patternType": _PATTERNS[line["pattern"]]}
    return {"resource": resource, "operations": line["operations"].split()}


def main(arguments: list[str]) -> None:
    """Print the resources; HOOKLINE_TOPIC_PREFIX, HOOKLINE_REPLICATION_FACTOR and their like are minded."""
    parser = argparse.ArgumentParser(prog="python -m deploy.strimzi", description=__doc__)
    parser.add_argument("cluster", help="name of the Kafka resource that Strimzi runs")
    cluster = parser.parse_args(arguments).cluster
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "unused:9092", **os.environ}
    prefix = load(KafkaConfig, environ).topic_prefix
    found = [*topics(prefix, load(TopicsConfig, environ), cluster), *users(prefix, cluster)]
    yaml.safe_dump_all(found, sys.stdout, sort_keys=False, explicit_start=True)


if __name__ == "__main__":
    main(sys.argv[1:])
