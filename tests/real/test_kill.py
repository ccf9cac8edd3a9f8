"""Nothing that was answered 200 is lost or counted twice, whatever dies at whatever moment."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.real.load import Sender, stored_client_ids
from tests.real.product import Product, until

KILLS = 51
"""17 of each kind: the app with its worker, a collector, the whole tree."""
SENDERS, PAUSE_S = 4, 0.02
"""There are always hits under way, and the processors are the product's."""
LONGEST_LIFE_S = 1.2


@pytest.mark.timeout(540)
def test_every_event_answered_200_is_stored_exactly_once_over_51_kills(tmp_path: Path) -> None:
    random.seed(20261122)
    with Product(tmp_path, collectors=2) as product:
        key = product.create_source("site")
        stop = threading.Event()
        url = f"http://127.0.0.1:{product.collector_port}"
        senders = [Sender([url], key, stop, name="site", pause_s=PAUSE_S) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        kills = Counter[str]()
        while kills.total() < KILLS:
            time.sleep(random.uniform(0.05, LONGEST_LIFE_S))
            kills[kill_one(product, ("app", "collector", "tree")[kills.total() % 3])] += 1
        stop.set()
        for sender in senders:
            sender.join(30)
        until(product.ready, 60, product.output)
        account = product.settled()
        assert kills == {"app": 17, "collector": 17, "tree": 17}
        answered = set().union(*(sender.answered for sender in senders))
        sent = set().union(*(sender.sent for sender in senders))
        stored = stored_client_ids(product)
        assert len(answered) > 1_000, "the load was too small to prove anything"
        assert not [each for each, times in stored.items() if times > 1]
        assert answered <= set(stored) <= sent
        assert account["balanced"]
        assert sum(row["events"]["stored"] for row in account["rows"]) == len(stored)
        assert product.stop() == 0


def kill_one(product: Product, kind: str) -> str:
    """Kill one process, or all at once, and see to it that the product is there again."""
    if kind == "tree":
        product.kill_tree()
        product.start()
        return kind
    until(lambda: bool(product.children()[kind]), 30, product.output)
    random.choice(product.children()[kind]).kill()
    return kind
