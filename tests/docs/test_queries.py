"""The SQL on the pages, on ClickHouse's real engine with this build's tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.analytics import migrate
from hookline.analytics.client import ClickHouse, open_client
from tests.analytics.conftest import Rig
from tests.docs.pages import Block
from tests.docs.typed import QUERIES

pytestmark = pytest.mark.clickhouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """Yield an engine whose log has a row."""
    folder: Path = tmp_path_factory.mktemp("warehouse")
    client = open_client({"HOOKLINE_STATE_DIR": str(folder)})
    migrate.up(client, retention_days=30)
    rig = Rig()
    client.insert("attempts", rig.table([rig.attempt()]), {"async_insert": 0})
    yield client
    client.close()


@pytest.mark.parametrize("one", QUERIES, ids=str)
def test_a_query_is_one(warehouse: ClickHouse, one: Block) -> None:
    """It is answered; `tests/analytics/test_docs.py` looks at what those of the analysts' page find."""
    given = {name: "of-the-tests" for name in ("store", "event") if f"{{{name}:String}}" in one.text}
    found = warehouse.rows(one.text, given)
    assert given or found
