"""Leads of phones that are sold again and from tablets that are shared."""

from __future__ import annotations

from typing import Any

import pytest

from cdp.model import Identifier
from tests.leads.conftest import DAY, MINUTE, NOON, Person, World, fresh_person, identifier


@pytest.fixture
def tablet(world: World) -> Identifier:
    """Four customers have signed in on it, more than one person's device can have."""
    device = identifier("device_id", f"tablet-of-{fresh_person().number}-abcdef")
    for n in range(4):
        world.visit(fresh_person().member, device, at=NOON - (9 - n) * DAY)
    return device


def names(lead: dict[str, Any]) -> list[str]:
    return [each["name"] for each in lead["trail"]["events"]]


def added(world: World, lead: dict[str, Any]) -> list[tuple[str, str]]:
    additions = world.desk.lead(lead["id"])["trail"]["additions"]
    return [(each["event"]["name"], each["reason"]["code"]) for each in additions]


def test_a_lead_stays_with_who_had_the_phone_when_it_was_captured(world: World, person: Person) -> None:
    phone, other = identifier("phone", person.phone), fresh_person()
    world.now = NOON - 200 * DAY
    world.visit(person.member, phone, at=world.now, name="login_of_old")
    old, _ = world.capture(person.body(identifiers=[], external_id="old"))
    world.now = NOON
    world.visit(other.member, phone, at=NOON - DAY, name="login_of_new")
    new, _ = world.capture(person.body(identifiers=[], external_id="new"))
    persons = [world.identity.person_of(each.member) for each in (person, other)]
    assert None not in persons
    assert persons[0] != persons[1]
    assert [world.desk.lead(each["id"])["person"] for each in (old, new)] == persons
    assert (names(old), names(new)) == (["login_of_old"], ["login_of_new"])
    for owner, lead in zip(persons, (old, new), strict=True):
        found, _ = world.desk.leads_of(owner or "")
        assert [each["id"] for each in found] == [lead["id"]]
    assert {each["id"] for each in world.desk.lookup("phone", person.phone)} == {old["id"], new["id"]}


def test_an_event_of_the_phones_time_with_another_owner_is_no_addition(world: World, person: Person) -> None:
    phone, other = identifier("phone", person.phone), fresh_person()
    world.visit(other.member, phone, at=NOON - 200 * DAY)
    world.visit(person.member, phone, at=NOON - DAY)
    lead, _ = world.capture(person.body(identifiers=[]))
    world.now += MINUTE
    world.visit(phone, at=NOON - 150 * DAY, name="of_the_other")
    world.visit(phone, at=NOON - MINUTE, name="hers")
    world.visit(phone, person.cookie, at=NOON - 2 * MINUTE, name="hers_too")
    assert added(world, lead) == [("hers", "arrived_late"), ("hers_too", "arrived_late")]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_arrives_late_from_a_shared_tablet_is_added_where_it_is_of_the_persons_session(
    world: World, person: Person, tablet: Identifier, restarted: bool
) -> None:
    world.visit(person.openid, person.member, at=NOON - 20 * MINUTE, name="login_on_phone")
    world.visit(person.member, tablet, at=NOON - 10 * MINUTE, name="login_on_tablet")
    lead, _ = world.capture(person.body())
    assert names(lead) == ["login_on_tablet", "login_on_phone"]
    if restarted:
        world.restart()
    world.now += MINUTE
    world.visit(tablet, at=NOON - 9 * MINUTE, name="hers")
    world.visit(tablet, at=NOON - 120 * MINUTE, name="the_tablets_own")
    assert added(world, lead) == [("hers", "arrived_late")]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_login_that_arrives_late_adds_the_events_of_its_half_hours_and_nothing_twice(
    world: World, person: Person, tablet: Identifier, restarted: bool
) -> None:
    world.visit(person.openid, person.member, at=NOON - 20 * MINUTE, name="login_on_phone")
    world.visit(person.member, tablet, at=NOON - 10 * MINUTE, name="login_on_tablet")
    world.visit(tablet, at=NOON - 5 * MINUTE, name="frozen")
    world.visit(tablet, at=NOON - 70 * MINUTE, name="nobodys")
    lead, _ = world.capture(person.body())
    assert names(lead) == ["frozen", "login_on_tablet", "login_on_phone"]
    if restarted:
        world.restart()
    world.now += MINUTE
    world.visit(person.member, tablet, at=NOON - 75 * MINUTE, name="late_login")
    assert added(world, lead) == [("nobodys", "identified_later"), ("late_login", "arrived_late")]


def test_a_login_of_another_takes_nothing_from_a_frozen_trail(world: World, person: Person, tablet: Identifier) -> None:
    world.visit(person.openid, person.member, at=NOON - 20 * MINUTE, name="login_on_phone")
    world.visit(person.member, tablet, at=NOON - 10 * MINUTE, name="login_on_tablet")
    world.visit(tablet, at=NOON - 5 * MINUTE, name="frozen")
    lead, _ = world.capture(person.body())
    world.now += MINUTE
    world.visit(fresh_person().member, tablet, at=NOON - 7 * MINUTE)
    assert names(world.desk.lead(lead["id"])) == ["frozen", "login_on_tablet", "login_on_phone"]
    world.visit(tablet, at=NOON - 4 * MINUTE, name="of_the_other")
    assert added(world, lead) == []
