"""Two years of car buyers, made up: what was observed of them, and who it really was.

Ordinary life first: people read the site on several screens, open the app and the mini-program, leave their number,
buy. Then the zoo: tablets in showrooms, staff who type their own number, numbers that are sold again. Each creature
is one function, and each value that it touches is marked, so that a wrong join can be told by its cause.

No public figures exist for how common these are. The shares below are guesses on the hard side even at `zoo` 1: that a
number or a handset passes from one customer of a brand to another is rarer than 1 in 40, for the buyer is a stranger to
the brand as a rule. `zoo` 2 doubles them all.

    python -m tests.streams OUT.jsonl --truth TRUTH.csv --people 5000 --seed 1
"""

from __future__ import annotations

import argparse
import csv
import json
from math import inf
from pathlib import Path

from cdp.model import Identifier
from cdp.moments import rfc3339
from tests.buyers import CLAIMED, DAYS, FORM, MET, SIGNED, Creature, Number, Person, Stream, World

BUYERS = 0.15
THROWAWAY = 0.15  # of site visits: private windows and browsers inside other apps
FROZEN = 60.0  # days, the least before a number is sold again
SLIPS = 0.02  # of numbers typed from paper or by ear

PLACEHOLDERS = ("+8613800138000", "+8613888888888", "+8613812345678", "+8613000000000", "+8613911112222")
NO_AD_ID = Identifier("device_id", "00000000-0000-0000-0000-000000000000")


def car_buyers(people: int = 5_000, seed: int = 1, *, zoo: float = 1.0) -> Stream:
    """The stream of this seed, always the same; `zoo` multiplies how common each creature is."""
    world = World(people, seed, zoo)
    for owned in (recycled_numbers, handsets_sold_on, second_accounts, family_devices, no_advertising_ids):
        owned(world)
    for person in world.people:
        live(world, person)
    for beside in (showroom_tablets, staff_phones, placeholder_numbers, rekeyed_rows, attackers):
        beside(world)
    return world.stream()


# Ordinary life


def live(world: World, person: Person) -> None:
    """Visits, of which some end with a number left behind; for some, a car."""
    for day in person.days:
        visit = world.random.choices((visit_site, visit_app, visit_mini_program), person.habits)[0]
        visit(world, person, day)
        if world.chance(0.09):
            leave_number(world, person, day + 0.01)
    if world.chance(BUYERS):
        buy(world, person, person.days[-1])


def visit_site(world: World, person: Person, day: float) -> None:
    cookie = world.screen(person, day, "handset", "laptop", "tablet").cookie(day)
    if world.chance(THROWAWAY):
        cookie = world.new("anonymous_id")
    signed_in(world, person, day, CLAIMED, cookie, share=0.35)


def visit_app(world: World, person: Person, day: float) -> None:
    signed_in(world, person, day, SIGNED, *world.screen(person, day, "handset", "tablet").app, share=0.8)


def signed_in(world: World, person: Person, day: float, strength: int, *here: Identifier, share: float) -> None:
    """A visit, in such a share of cases as a member, whose account may say the number as well."""
    member = person.member(day) if world.chance(share) else []
    phone = [world.phone(person, day)] if member and world.chance(0.27) else []
    world.see(person, day, strength if member else MET, *here, *member, *phone)


def visit_mini_program(world: World, person: Person, day: float) -> None:
    """The unionid comes only with some calls; the official account knows the person by another openid."""
    mini, news = person.openids
    member = person.member(day)
    if member and world.chance(0.5):
        world.see(person, day, SIGNED, mini, person.unionid, *member, world.phone(person, day))
    elif world.chance(0.2):
        world.see(person, day, SIGNED, news, *[person.unionid] * world.chance(0.6))
    else:
        world.see(person, day, MET, mini, *[person.unionid] * world.chance(0.3))


def leave_number(world: World, person: Person, day: float) -> None:
    phone, way = world.phone(person, day), world.random.random()
    if way < 0.45:
        screen = world.screen(person, day, "handset", "laptop", "tablet")
        phone = typed(world, phone)
        world.see(person, day, FORM, screen.cookie(day), phone, world.written(person))
        world.row(person, day, world.new("lead_id"), phone)
    elif way < 0.7:
        world.row(person, day, world.new("lead_id"), world.new("click_id"), phone)
    else:
        world.row(person, day, world.new("crm_id"), typed(world, phone))
    if world.chance(0.3):
        world.row(person, day + world.random.uniform(1, 30), world.new("crm_id"), typed(world, phone))


def buy(world: World, person: Person, day: float) -> None:
    vin = Identifier("vin", "L" + "".join(world.random.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=16)))
    world.row(person, day, world.new("crm_id"), world.phone(person, day), vin)
    if member := person.member(day):
        world.see(person, day + 7, SIGNED, vin, *member)
    while (day := day + world.random.expovariate(1 / 120)) < DAYS:
        world.row(person, day, vin, world.phone(person, day))


# The zoo: what people own that is not theirs alone


def recycled_numbers(world: World) -> None:
    """A number is given up, frozen, and sold to a stranger, who gives up his own for it."""
    for before in world.some(0.025):
        given_up = world.random.uniform(before.days[0], before.days[-1])
        sold = given_up + FROZEN + world.random.expovariate(1 / 40)
        after = world.somebody_after(sold)
        if after and after is not before:
            phone = world.mark(Creature.RECYCLED_NUMBER, before.numbers[0].phone)
            before.numbers[0] = Number(phone, -inf, given_up)
            before.numbers.append(Number(world.new_phone(), given_up, inf))
            after.numbers = [each._replace(until=min(each.until, sold)) for each in after.numbers]
            after.numbers.append(Number(phone, sold, inf))


def handsets_sold_on(world: World) -> None:
    """The app on a second-hand handset says the same device id as before; the browser has been emptied."""
    for seller in world.some(0.05):
        old = next(each for each in seller.screens if each.kind == "handset" and each.until > seller.days[0])
        since = old.until + world.random.uniform(0, 30)
        buyer = world.somebody_after(since)
        if buyer and buyer is not seller:
            world.mark(Creature.SOLD_HANDSET, old.app[0])
            for own in buyer.screens:
                own.until = min(own.until, since) if own.kind == "handset" else own.until
            buyer.screens.append(world.new_screen("handset", since))
            buyer.screens[-1].app = old.app


def family_devices(world: World) -> None:
    """Two or three who choose a car together use one tablet or handset in turns, each with an account or none."""
    family = world.some(0.05)
    while len(family) > 1:
        members = [family.pop() for _ in range(min(len(family), world.random.choice((2, 2, 3))))]
        shared = world.new_screen(world.random.choice(("tablet", "handset")), 0.0, use=4)
        for value in (*shared.app, *(cookie for _, cookie in shared.cookies)):
            world.mark(Creature.FAMILY_DEVICE, value)
        for person in members:
            later = members[0].days[0] - person.days[0]
            person.days = [day + later for day in person.days if day + later < DAYS]
            person.accounts = [(since + later, account) for since, account in person.accounts]
            person.screens.append(shared)


def second_accounts(world: World) -> None:
    """Who forgot the first account registers again. By the policy a member is one person, by the truth both are."""
    for person in world.some(0.02):
        if person.accounts:
            again = world.random.uniform(person.accounts[0][0], person.days[-1])
            person.accounts.append((again, world.new("member_id", "m")))
            for value in (*person.openids, person.unionid, *(each.phone for each in person.numbers)):
                world.mark(Creature.SECOND_ACCOUNT, value)
            for account in person.accounts:
                world.mark(Creature.SECOND_ACCOUNT, account[1])


def no_advertising_ids(world: World) -> None:
    """Who refuses tracking has the same zeros as all others who do, and an id of the installation."""
    for person in world.some(0.025):
        for screen in person.screens:
            if screen.kind == "handset" and screen.app[0] not in world.creatures:
                screen.app = (world.mark(Creature.NO_AD_ID, NO_AD_ID), world.new("anonymous_id"))


# The zoo: what others do


def showroom_tablets(world: World) -> None:
    """Visitors read, leave a number or log in on the dealer's tablet; some tablets meet only a handful."""
    for _ in range(round(len(world.people) * world.zoo / 250)):
        tablet = world.new_screen("tablet", 0.0)
        for value in (*tablet.app, *(cookie for _, cookie in tablet.cookies)):
            world.mark(Creature.SHOWROOM_TABLET, value)
        for person in world.random.sample(world.people, min(len(world.people), world.random.randint(2, 60))):
            day = world.random.choice(person.days)
            ids = (*tablet.app, tablet.cookie(day))
            way, member = world.random.random(), person.member(day)
            if way < 0.25 and member:
                world.see(person, day, CLAIMED, *ids, *member)
            elif way < 0.6:
                world.see(person, day, FORM, *ids, typed(world, world.phone(person, day)), world.written(person))
            else:
                world.see(person, day, MET, *ids)


def staff_phones(world: World) -> None:
    """Sales staff who must fill the field type their own number into customers' rows: most seldom, a few always."""
    for staff in world.some(0.008):
        for _ in range(min(60, int(world.random.paretovariate(0.8)))):
            customer, day, _ = world.random.choice(world.rows)
            phone = world.mark(Creature.STAFF_PHONE, world.phone(staff, day))
            world.row(customer, day, world.new("lead_id"), phone)


def placeholder_numbers(world: World) -> None:
    for customer in world.some(0.02):
        phone = world.mark(Creature.PLACEHOLDER, Identifier("phone", world.random.choice(PLACEHOLDERS)))
        world.row(customer, world.random.choice(customer.days), world.new("lead_id"), phone)


def typed(world: World, phone: Identifier) -> Identifier:
    """The number as somebody typed it from paper or by ear."""
    return slip_of_the_finger(world, phone) if world.chance(SLIPS) else phone


def slip_of_the_finger(world: World, phone: Identifier) -> Identifier:
    """One digit wrong; where a neighbouring number is somebody's, it is hit far more often than chance has it."""
    wrong = world.neighbours(phone.value)
    taken = [number for number in wrong if number in world.in_use]
    number = world.random.choice(taken if taken and world.chance(0.5) else wrong)
    return world.mark(Creature.SLIP, Identifier("phone", number))


def rekeyed_rows(world: World) -> None:
    """Dealers type rows once more from their own lists, under a new id: with their CRM's id at best, or a name."""
    for customer, day, met in world.random.sample(world.rows, len(world.rows) // 8):
        lead = world.mark(Creature.REKEYED_ROW, world.new("lead_id"))
        crm = [value for value in met if value.kind == "crm_id"]
        world.row(customer, day + world.random.uniform(1, 90), lead, *crm)


def attackers(world: World) -> None:
    """A member who claims strangers' numbers through a public key: one goes through a list, others want somebody's."""
    members = [person for person in world.people if person.member(DAYS - 30)]
    for victims in (round(len(world.people) * world.zoo / 160), 5, 3, 2, 1, 1):
        attacker = world.random.choice(members)
        day = world.random.uniform(DAYS - 30, DAYS)
        for victim in world.random.sample(world.people, victims):
            phone = world.mark(Creature.ATTACKED_PHONE, world.phone(victim, day))
            world.see(attacker, day, CLAIMED, *attacker.member(day), phone)


# Files


def write_jsonl(stream: Stream, path: Path) -> None:
    """As `cdp identity resolve` reads it."""
    with path.open("w", encoding="utf-8") as out:
        for each in stream.observations:
            line = {
                "id": str(each.id),
                "occurred_at": rfc3339(each.occurred_at),
                "strength": each.strength,
                "identifiers": [{"kind": value.kind, "value": value.value} for value in each.identifiers],
            }
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_truth(stream: Stream, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("observation", "person"))
        rows.writerows(sorted((str(key), person) for key, person in stream.truth.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a made-up stream of car buyers, and who they really are.")
    parser.add_argument("out", type=Path, help="observations, JSONL")
    parser.add_argument("--truth", type=Path, help="CSV: observation,person")
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--zoo", type=float, default=1.0, help="how common the zoo is, beside the usual share")
    options = parser.parse_args()
    stream = car_buyers(options.people, options.seed, zoo=options.zoo)
    write_jsonl(stream, options.out)
    if options.truth:
        write_truth(stream, options.truth)


if __name__ == "__main__":
    main()
