"""Which of librdkafka's own lines are told."""

from __future__ import annotations

import logging

import pytest

import hookline.kernel.kafka  # noqa: F401  # it chooses among the lines

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("FAIL [a#producer-1] [thrd:b]: b: Connect to ipv4#127.0.0.1:9 failed: Connection refused", False),
        ("GETPID [a#producer-5] [thrd:main]: Failed to acquire PID from broker b/1: Broker: Coordinator load in progress: retrying", False),
        ("GETPID [a#producer-5] [thrd:main]: Failed to acquire idempotence PID: Broker: Cluster authorization failed: fatal", True),
        ("CONFWARN [a#consumer-1] [thrd:app]: something else: retrying", True),
    ],
)
def test_what_is_normal_is_not_told(line: str, told: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection is told by `log_error`, a broker that has just started by nobody; everything else is told."""
    with caplog.at_level(logging.WARNING, logger="librdkafka"):
        logging.getLogger("librdkafka").warning("%s", line)
    assert (line in caplog.messages) is told
