"""Leads that are probably one person's are joined or offered, by what was captured alone and in any order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import permutations
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from cdp.errors import StoreUnavailable
from cdp.model import Identifier
from cdp.records import reading, writing
from identity.matching.model import dump_model, load_model
from identity.reviews import Review, Reviews, ReviewState, review_rows
from identity.steward import Note, Steward, Verdict
from leads import similar
from leads.lead import LeadId
from leads.open_leads import open_rows
from leads.similar import SimilarLeads
from leads.similar_keys import CAP, key_rows, keys_of, pair_rows, plain_name
from leads.similar_score import model, scored, version
from leads.store import Card, lead_rows
from tests.leads.conftest import MINUTE, NOON, World

PHONE, SLIPPED, OTHER = "13812345678", "13812345687", "13677770001"
NOTE = Note("seen her papers", "ann", NOON)


def body(external_id: str, name: str, phone: str = "", *, member: str = "", **interest: str) -> dict[str, Any]:
    """A row of a dealer's CRM."""
    made: dict[str, Any] = {
        "source": "dealer-crm",
        "external_id": external_id,
        "contact": {"name": name, "wechat": f"wx-{external_id}", **({"phone": phone} if phone else {})},
        "interest": {"city": "上海", "dealer": "上海浦东店", "series": "L7", **interest},
        "consent": {"purposes": ["sales_call"], "text_version": "v3", "at": "2025-10-09T08:53:20Z"},
    }
    return {**made, "identifiers": [{"kind": "member_id", "value": member}]} if member else made


LI, LI_AGAIN = body("li", "李晓梅", PHONE), body("li-again", "李晓梅", SLIPPED)
MS_LI = body("ms-li", "李女士", SLIPPED)


@pytest.fixture
def alike(world: World) -> SimilarLeads:
    """What compares, following the desk; nothing runs aside."""
    made = SimilarLeads(world.records, world.identity, world.vault, clock=lambda: world.now)
    world.desk.follow(made)
    return made


def capture(world: World, alike: SimilarLeads, *bodies: Mapping[str, Any]) -> list[LeadId]:
    """Captured and compared one after the other."""
    ids = []
    for each in bodies:
        world.now += MINUTE
        lead, _ = world.capture(each)
        ids.append(LeadId(lead["id"]))
        alike.compare(ids[-1])
    return ids


def phone(world: World, number: str) -> Identifier:
    return Identifier("phone", world.vault.token("phone", f"+86{number}"))


def one_person(world: World, *identifiers: Identifier) -> bool:
    return len({world.identity.person_of(each) for each in identifiers}) == 1


def reviews(world: World) -> list[Review]:
    return Reviews(world.records).page(limit=100)


def told(review: Review) -> set[str]:
    return {reason.en for reason in review.reasons}


# Bands


def test_a_row_keyed_again_with_a_slip_is_joined_by_the_weakest_evidence(world: World, alike: SimilarLeads) -> None:
    a, b = capture(world, alike, LI, LI_AGAIN)

    assert one_person(world, phone(world, PHONE), phone(world, SLIPPED))
    assert reviews(world) == []
    [pair] = alike.pairs_of(a)
    assert {pair.a, pair.b} == {a, b}
    assert pair.probability >= similar.STRICT
    assert pair.model == version() == model().version
    assert pair.observation is not None
    [(said, _)] = world.identity.graph.observations([pair.observation])
    assert (said.strength, said.source) == (1, f"similar:{version()}")


def test_a_later_lead_says_which_of_its_reasons_is_only_likeness(world: World, alike: SimilarLeads) -> None:
    capture(world, alike, LI, LI_AGAIN)
    later, _ = world.capture({**LI, "external_id": "later"})
    assert {reason["linked_by"] for reason in later["why"]} == {"similar"}


def test_a_title_for_a_name_and_a_slip_wait_for_a_steward_with_all_reasons(world: World, alike: SimilarLeads) -> None:
    a, b = capture(world, alike, LI, MS_LI)

    assert not one_person(world, phone(world, PHONE), phone(world, SLIPPED))
    [review] = reviews(world)
    assert review.score >= similar.LOOSE
    assert {review.a, review.b} == {phone(world, PHONE), phone(world, SLIPPED)}
    assert told(review) == {
        "Name: the same surname",
        "Phone: differs by one slip",
        "City: the same",
        "Dealer: the same",
        "Series: the same",
        f"Leads {min(a, b)}, {max(a, b)}; model {version()}",
    }
    assert {reason.zh for reason in review.reasons} >= {"姓名同姓", "手机号差一位或相邻两位颠倒", "经销商相同"}
    [pair] = alike.pairs_of(b)
    assert (pair.review, pair.observation) == (review.id, None)


@pytest.mark.parametrize("dealer", ["上海浦东店", "上海嘉定店"])
def test_two_of_a_common_name_in_one_city_are_two(world: World, alike: SimilarLeads, dealer: str) -> None:
    leads = capture(
        world, alike, body("w1", "王伟", PHONE), body("w2", "王伟", OTHER, dealer=dealer), body("w3", "王伟")
    )

    assert reviews(world) == []
    assert [alike.pairs_of(each) for each in leads] == [[], [], []]


def test_a_slip_in_the_phone_counts_for_no_other_name_and_at_no_other_place(world: World, alike: SimilarLeads) -> None:
    elsewhere = body("far", "李晓梅", SLIPPED, city="成都", dealer="成都高新店")
    capture(world, alike, LI, body("he", "王建国", SLIPPED), elsewhere)

    assert reviews(world) == []
    assert not one_person(world, phone(world, PHONE), phone(world, SLIPPED))


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        ("member_id", ("m-1", "m-2"), "Two different values of member_id"),
        ("wx_unionid", ("open1/union-aaaa", "open1/union-bbbb"), "Two different values of wx_unionid"),
        ("id_card", ("310101199003070018", "310101198801010024"), "Two different values of id_card"),
    ],
)
def test_another_strong_identifier_keeps_a_likeness_from_joining(
    world: World, alike: SimilarLeads, kind: str, values: tuple[str, str], sentence: str
) -> None:
    # Not said with the lead, but known of the person before.
    for each, number in zip(values, (PHONE, SLIPPED), strict=True):
        whose = Identifier("phone", f"+86{number}")
        world.visit(whose, Identifier(kind, each), at=NOON - MINUTE)

    capture(world, alike, LI, LI_AGAIN)

    assert not one_person(world, phone(world, PHONE), phone(world, SLIPPED))
    [review] = reviews(world)
    assert review.score >= similar.STRICT
    assert sentence in told(review)


def test_unions_of_two_platforms_do_not_contradict_each_other(world: World, alike: SimilarLeads) -> None:
    for each, number in (("open1/union-aaaa", PHONE), ("open2/union-bbbb", SLIPPED)):
        world.visit(Identifier("phone", f"+86{number}"), Identifier("wx_unionid", each), at=NOON - MINUTE)
    capture(world, alike, LI, LI_AGAIN)
    assert one_person(world, phone(world, PHONE), phone(world, SLIPPED))


def test_owners_of_one_car_with_different_names_are_never_strict() -> None:
    empty = dict.fromkeys(("name", "phone", "city", "dealer", "series", "plate", "vin"), "")
    row = {**empty, "name": "李晓梅", "vin": "LW433B109M1000001", "plate": "沪A12345", "city": "上海"}
    [other] = scored(row, [{**row, "name": "王建国"}])
    assert other.contradicted


# A steward's word


def test_two_that_were_called_different_stay_apart_and_are_never_asked_again(world: World, alike: SimilarLeads) -> None:
    capture(world, alike, LI, MS_LI)
    ends = phone(world, PHONE), phone(world, SLIPPED)
    [review] = reviews(world)
    decision, _ = Steward(world.identity).decide(Verdict.DIFFERENT, *ends, NOTE)
    Reviews(world.records).decided(review.id, ReviewState.DIFFERENT, decision.id)

    # The same two again: by the full name, which would be strict, and by another identifier of one of them.
    capture(world, alike, LI_AGAIN, body("app", "李晓梅", SLIPPED, member="m-7"))

    assert not one_person(world, *ends)
    assert [(each.id, each.state) for each in reviews(world)] == [(review.id, ReviewState.DIFFERENT)]


def test_two_that_were_called_the_same_are_not_offered_again(world: World, alike: SimilarLeads) -> None:
    capture(world, alike, LI, MS_LI)
    Steward(world.identity).decide(Verdict.SAME, phone(world, PHONE), phone(world, SLIPPED), NOTE)
    capture(world, alike, body("again", "李女士", SLIPPED, member="m-7"))
    assert len(reviews(world)) == 1
    assert one_person(world, phone(world, PHONE), phone(world, SLIPPED), Identifier("member_id", "m-7"))


def test_evidence_that_was_taken_back_does_not_return(world: World, alike: SimilarLeads) -> None:
    ids = capture(world, alike, LI, LI_AGAIN)
    [pair] = alike.pairs_of(ids[0])
    assert pair.observation is not None
    Steward(world.identity).retract(pair.observation, NOTE)
    assert not one_person(world, phone(world, PHONE), phone(world, SLIPPED))

    with writing(world.records) as connection:
        connection.execute(key_rows.delete())
    assert alike.catch_up() == 2
    assert not one_person(world, phone(world, PHONE), phone(world, SLIPPED))


def test_a_crash_before_the_keys_are_noted_changes_nothing(
    world: World, alike: SimilarLeads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    [first] = capture(world, alike, LI)
    later = [LeadId(world.capture(each)[0]["id"]) for each in (LI_AGAIN, MS_LI)]
    for lead in later:
        monkeypatch.setattr("leads.similar_keys.write", dies)
        with pytest.raises(KeyboardInterrupt):
            alike.compare(lead)
        monkeypatch.undo()
        version_before, asked_before = world.identity.version, reviews(world)
        alike.compare(lead)
        assert (world.identity.version, reviews(world)) == (version_before, asked_before)
    assert {pair.b if pair.a == first else pair.a for pair in alike.pairs_of(first)} == set(later)


def test_the_shipped_model_holds_nothing_that_was_made_up() -> None:
    shipped = model()
    assert load_model(dump_model(shipped)) == shipped
    known = {column.name for column in shipped.columns if column.values.shares}
    assert known == {"name", "city"}
    for column in shipped.columns:
        if column.name not in known:
            # What is seen there is as common as anything else.
            assert column.values.unseen == column.values.collision


# Order


MANY = (
    body("a", "李晓梅", PHONE, member="m-1"),
    body("b", "李晓梅", SLIPPED),
    body("c", "李晓梅", "13812345687"[:-1] + "6", member="m-2"),
    MS_LI,
    body("w", "王伟", OTHER),
)


def outcome(world: World, alike: SimilarLeads) -> Any:
    names = {world.desk.lead(lead)["id"]: lead for lead in _all(world)}
    with reading(world.records) as connection:
        pairs = sorted(map(tuple, connection.execute(select(*pair_rows.c).with_only_columns(*list(pair_rows.c)[:6]))))
        asked = sorted(
            map(tuple, connection.execute(select(review_rows.c.id, review_rows.c.score, review_rows.c.reasons)))
        )
    numbers = (PHONE, SLIPPED, "13812345686", OTHER)
    persons = [world.identity.person_of(phone(world, each)) for each in numbers]
    together = [[a == b for a in persons] for b in persons]
    return sorted(names), pairs, asked, together


def _all(world: World) -> list[str]:
    with reading(world.records) as connection:
        return list(connection.execute(select(lead_rows.c.id)).scalars())


def worlds(world: World, folder: Path) -> Iterator[World]:
    """One for each order, on the same store of events."""
    from cdp.records import metadata, open_engine
    from cdp.vault import Vault
    from identity import graph_sql
    from identity.engine import IdentityEngine
    from identity.graph_sql import SqlGraph
    from identity.kinds import BUILT_IN
    from tests.leads.conftest import SECRET

    number = 0
    while True:
        number += 1
        records, graph = (open_engine(f"sqlite:///{folder}/{number}-{name}.db") for name in ("records", "graph"))
        metadata.create_all(records)
        graph_sql.metadata.create_all(graph)
        yield World(records, graph, world.events, IdentityEngine(SqlGraph(graph), BUILT_IN), Vault(records, SECRET))
        records.dispose()
        graph.dispose()


def test_the_order_in_which_leads_come_changes_nothing(world: World, tmp_path: Path) -> None:
    results = []
    fresh = worlds(world, tmp_path)
    for order in list(permutations(MANY))[::7]:
        each = next(fresh)
        alike = SimilarLeads(each.records, each.identity, each.vault, clock=lambda: NOON)
        # All at one moment: a lead's time is its own, and no matter of order.
        for lead in order:
            alike.compare(LeadId(each.capture(lead)[0]["id"]))
        results.append(outcome(each, alike))
    fresh.close()

    assert results[1:] == results[:-1]
    _, pairs, asked, together = results[0]
    assert len(pairs) > 3
    assert asked
    # Of two members only one can have the row in the middle, whichever came first.
    assert together[0][2] is False
    assert together[1].count(True) == 2


# Nothing clear


def test_no_name_and_no_phone_lies_in_clear_outside_the_vault(world: World, alike: SimilarLeads) -> None:
    capture(world, alike, LI, LI_AGAIN, MS_LI)
    assert len(reviews(world)) >= 1
    place = Path(str(world.records.url.database))
    stored = b"".join(file.read_bytes() for file in place.parent.glob(f"{place.name}*"))
    for clear in ("李晓梅", "晓梅", "李女士", "lixiaomei", PHONE, SLIPPED, PHONE[-8:], SLIPPED[-7:]):
        assert clear.encode() not in stored, clear


def test_nothing_clear_is_logged_where_comparing_fails(
    world: World, alike: SimilarLeads, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(row: Mapping[str, str]) -> set[str]:
        raise ValueError(row["name"])

    monkeypatch.setattr("leads.similar_keys.keys_of", fails)
    world.capture(LI)
    assert alike.catch_up() == 1
    printed = capsys.readouterr()
    assert "similar_failed" in printed.out + printed.err
    assert "李晓梅" not in printed.out + printed.err
    monkeypatch.undo()
    # It has no keys, and so it is taken up again.
    assert alike.catch_up() == 1


def test_erased_leads_are_no_candidates_and_leave_no_keys(world: World, alike: SimilarLeads) -> None:
    first, other = capture(world, alike, LI, body("w", "王伟", OTHER))
    world.desk.forget([first])
    with reading(world.records) as connection:
        keys = connection.execute(select(key_rows.c.key).where(key_rows.c.lead == first)).scalars().all()
    assert keys == [""]
    assert alike.catch_up() == 0

    capture(world, alike, LI_AGAIN)
    assert reviews(world) == []
    assert not one_person(world, phone(world, PHONE), phone(world, SLIPPED))
    assert alike.pairs_of(other) == []


def test_a_shell_is_no_candidate_although_its_keys_are_left(world: World, alike: SimilarLeads) -> None:
    [first] = capture(world, alike, LI)
    with reading(world.records) as connection:
        stored = connection.execute(select(lead_rows.c.card).where(lead_rows.c.id == first)).scalar_one()
    shell = msgspec.structs.replace(msgspec.json.decode(stored, type=Card), erased=True)
    with writing(world.records) as connection:
        connection.execute(lead_rows.update().values(card=msgspec.json.encode(shell).decode()))
    capture(world, alike, LI_AGAIN)
    assert reviews(world) == []
    assert not one_person(world, phone(world, PHONE), phone(world, SLIPPED))


# Keys and names


def test_a_key_that_very_many_leads_have_is_passed_over(world: World, alike: SimilarLeads) -> None:
    token = world.vault.token("similar_key", sorted(keys_of(row("李晓梅", city="上海")))[0])
    capture(world, alike, LI)
    rows = [{"key": token, "lead": f"ld_{number}", "at": NOON} for number in range(CAP)]
    found = similar.similar_keys.sharing
    with writing(world.records) as connection:
        connection.execute(key_rows.insert(), rows[: CAP - 2])
    assert len(found(world.records, [token])) == CAP - 1
    with writing(world.records) as connection:
        connection.execute(key_rows.insert(), rows[CAP - 2 :])
    assert found(world.records, [token]) == set()


def row(name: str, **values: str) -> dict[str, str]:
    return {**dict.fromkeys(("phone", "city", "dealer", "series", "plate", "vin"), ""), "name": name, **values}


@pytest.mark.parametrize("slipped", ["13812345687", "13812345578", "13812345679", "13812354678"])
def test_phones_one_slip_apart_have_a_key_in_common(slipped: str) -> None:
    keys = keys_of(row("李晓梅", phone=f"+86{PHONE}"))
    assert keys & keys_of(row("李女士"[:1], phone=f"+86{slipped}"))
    assert not keys & keys_of(row("王伟", phone=f"+86{slipped}"))
    assert not keys & keys_of(row("李晓梅", phone="+8613812345111"))


def test_a_name_taken_down_by_ear_has_the_same_key() -> None:
    assert keys_of(row("李晓梅", city="上海")) == keys_of(row("黎小玫", city="上海"))


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("李女士", "李"),
        ("欧阳先生", "欧阳"),
        ("王总", "王"),
        ("李晓梅女士", "李晓梅"),
        (" 李 晓梅 ", "李晓梅"),
        ("王大哥", "王大哥"),
        ("先生", ""),
        ("微信用户", ""),
        ("Li Ming", "liming"),
    ],
)
def test_a_title_is_no_part_of_a_name(typed: str, plain: str) -> None:
    assert plain_name(typed) == plain


# Aside


def test_leads_that_were_not_compared_are_taken_up_by_the_next_process(world: World, alike: SimilarLeads) -> None:
    world.capture(LI)
    world.capture(LI_AGAIN)
    assert not one_person(world, phone(world, PHONE), phone(world, SLIPPED))
    later = SimilarLeads(world.records, world.identity, world.vault)
    assert later.catch_up() == 2
    assert one_person(world, phone(world, PHONE), phone(world, SLIPPED))
    assert later.catch_up() == 0


def test_captures_are_compared_aside_also_more_than_are_remembered(
    world: World, alike: SimilarLeads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar, "WAITING_MAX", 1)
    joined = Event()
    alike._regrouped = lambda sets: joined.set()
    world.capture(body("w1", "王伟", OTHER))
    with alike.working():
        world.capture(LI)
        world.capture(LI_AGAIN)
        assert joined.wait(60)
    assert one_person(world, phone(world, PHONE), phone(world, SLIPPED))


def test_leads_that_another_process_captures_are_compared_once_they_are_written(world: World) -> None:
    alike = SimilarLeads(world.records, world.identity, world.vault, look_s=0.01)
    joined, compared, tried = Event(), alike.compare, list[LeadId]()

    def compare(lead: LeadId) -> None:
        tried.append(lead)
        if lead == bad["id"]:
            raise KeyError
        compared(lead)

    alike.compare = compare  # type: ignore[method-assign]
    alike._regrouped = lambda sets: joined.set()
    bad, _ = world.capture(body("bad", "王伟", OTHER))
    with alike.working():
        # The last one's process died before it was written.
        leads = [bad["id"], *(world.capture(each)[0]["id"] for each in (LI, LI_AGAIN)), "ld_never"]
        rows = [{"lead": lead, "subject": 1, "frozen_at": NOON} for lead in leads]
        with writing(world.records) as connection:
            connection.execute(open_rows.insert(), rows)
        assert joined.wait(60)
    assert one_person(world, phone(world, PHONE), phone(world, SLIPPED))
    assert tried.count(LeadId(bad["id"])) == 1, "what fails is not tried again and again"


def test_work_goes_on_after_the_store_was_away(
    world: World, alike: SimilarLeads, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined, real, failures = Event(), alike.compare, [StoreUnavailable("records", "gone")]

    def compare(lead: LeadId) -> None:
        if failures:
            raise failures.pop()
        real(lead)

    monkeypatch.setattr(alike, "compare", compare)
    monkeypatch.setattr(StoreUnavailable, "retry_after_s", 0)
    alike._regrouped = lambda sets: joined.set()
    with alike.working():
        world.capture(LI)
        world.capture(LI_AGAIN)
        assert joined.wait(60)


def test_a_form_in_a_tracked_event_is_compared_too(world: World, alike: SimilarLeads) -> None:
    capture(world, alike, LI)
    form = world.event(
        Identifier("phone", f"+86{SLIPPED}"),
        at=world.now,
        name="test_drive_requested",
        phone=SLIPPED,
        姓名="李晓梅",
        dealer="上海浦东店",
        city="上海市",
    )
    [lead] = world.capture_event(form)
    alike.compare(LeadId(lead))
    assert one_person(world, phone(world, PHONE), phone(world, SLIPPED))


def test_what_compares_is_loaded_with_the_first_lead_only() -> None:
    code = "import sys, cdp.wiring; print(sorted({'pandas', 'numpy', 'pypinyin', 'rapidfuzz'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
