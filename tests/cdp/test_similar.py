"""The running product: leads are compared beside its work, and nothing of it is left of whoever is erased."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from sqlalchemy import select

from cdp.at_work import doing_jobs, working
from cdp.records import reading
from identity.reviews import review_rows
from leads.similar_keys import SEEN, key_rows, pair_rows
from tests.cdp.test_erasure import a_stage
from tests.leads.test_similar import LI, LI_AGAIN, MS_LI, PHONE, SLIPPED, body


def test_leads_are_compared_while_the_jobs_run_and_persons_are_told_of(tmp_path: Path) -> None:
    with a_stage(tmp_path / "data") as stage:
        system, joined = stage.system, Event()
        tell = system.similar._regrouped
        system.similar._regrouped = lambda sets: (tell(sets), joined.set())[0]
        before = stage.client.post("/leads", LI)
        with working(system), doing_jobs(system):
            after = stage.client.post("/leads", LI_AGAIN)
            assert joined.wait(60)
        assert stage.person(PHONE) == stage.person(SLIPPED)
        assert len({stage.client.get(f"/leads/{each['id']}")["person"] for each in (before, after)}) == 1


def test_of_an_erased_person_neither_keys_nor_pairs_nor_reviews_are_left(tmp_path: Path) -> None:
    with a_stage(tmp_path / "data") as stage:
        for each in (LI, LI_AGAIN, body("w", "王伟", "13677770001")):
            stage.client.post("/leads", each)
        stage.client.post("/leads", {**MS_LI, "contact": {"name": "李女士", "phone": "13812345686"}})
        assert stage.system.similar.catch_up() == 4
        with reading(stage.system.records) as connection:
            assert connection.execute(select(pair_rows)).all()
            assert connection.execute(select(review_rows)).all()

        stage.erase(PHONE)
        stage.erase("13812345686")

        assert stage.system.similar.catch_up() == 0
        with reading(stage.system.records) as connection:
            assert connection.execute(select(pair_rows)).all() == []
            assert connection.execute(select(review_rows)).all() == []
            kept = connection.execute(select(key_rows.c.key, key_rows.c.lead)).all()
        assert len({row.lead for row in kept if row.key != SEEN}) == 1
        # She comes again, and is somebody new.
        stage.client.post("/leads", {**LI_AGAIN, "external_id": "later"})
        assert stage.system.similar.catch_up() == 1
        with reading(stage.system.records) as connection:
            assert connection.execute(select(pair_rows)).all() == []
