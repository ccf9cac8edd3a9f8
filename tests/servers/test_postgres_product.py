"""The product on PostgreSQL: what was answered 200 is stored exactly once, although the server dies now and then."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.real.product import Product, until
from tests.real.servers import Postgres
from tests.real.test_kill import Sender, stored_client_ids
from tests.servers.databases import Databases

KILLS = 5
LONGEST_LIFE_S = 2.0


@pytest.mark.timeout(540)
def test_every_event_answered_200_is_stored_once_although_postgresql_is_killed(
    tmp_path: Path, postgres: Postgres, databases: Databases
) -> None:
    random.seed(20261122)
    url = databases.empty()
    with Product(tmp_path, XUNJI_RECORDS_URL=url, XUNJI_GRAPH_URL=url) as product:
        key = product.create_source("site")
        stop = threading.Event()
        sender = Sender([f"http://127.0.0.1:{product.collector_port}"], key, stop, name="site")
        sender.start()
        for _ in range(KILLS):
            time.sleep(random.uniform(0.2, LONGEST_LIFE_S))
            postgres.kill()
            answered = len(sender.answered)
            # Collectors go on without it.
            until(partial(answers_more, sender, answered), 60, product.output)
            postgres.start()
        stop.set()
        sender.join(30)
        until(product.ready, 60, product.output)
        account = product.settled()
        stored = stored_client_ids(product)
        assert account["balanced"]
        assert sum(row["events"]["stored"] for row in account["rows"]) == len(stored) > 100
        assert not [each for each, times in stored.items() if times > 1]
        assert sender.answered <= set(stored) <= sender.sent
        assert product.stop() == 0


def answers_more(sender: Sender, than: int) -> bool:
    return len(sender.answered) > than
