"""The people of a made-up stream, what they own, and what has been observed of them.

A person has numbers, screens, accounts and WeChat ids, each for a time; `World` deals them out and keeps who was seen
with what. What people do with them is told in `streams.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from random import Random
from typing import NamedTuple

from cdp.model import DAY_MS, Identifier
from identity.observation import Observation, ObservationId, observation_id

START = 1_704_067_200_000  # 2024-01-01 in UTC
DAYS = 720.0

SIGNED, CLAIMED, ROW, FORM, MET = 5, 4, 3, 2, 1
"""Classes of proof: said by a server, by a client with a public key, in a CRM row, in a form, seen together."""

MEMBERS = 0.6  # of people register some day
TWO_NUMBERS = 0.12
COOKIE_LIFE = 90.0  # days
HANDSET_LIFE = 500.0  # days

SURNAMES, SHARES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗", (20, 19, 18, 14, 12, 8, 6, 6, 5, 5, *[3] * 10)
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉建国文辉"


class Creature(StrEnum):
    SHOWROOM_TABLET = "showroom tablet"
    STAFF_PHONE = "staff phone"
    PLACEHOLDER = "placeholder number"
    NO_AD_ID = "all-zero advertising id"
    SLIP = "slip of the finger"
    FAMILY_DEVICE = "family device"
    SECOND_ACCOUNT = "second account"
    RECYCLED_NUMBER = "recycled number"
    SOLD_HANDSET = "handset sold on"
    REKEYED_ROW = "re-keyed row"
    ATTACKED_PHONE = "phone claimed by an attacker"


@dataclass(frozen=True, slots=True)
class Stream:
    """Observations by time; `truth` is the number of the person who made each, `creatures` marks values by cause."""

    observations: tuple[Observation, ...]
    truth: Mapping[ObservationId, int]
    creatures: Mapping[Identifier, Creature]

    def of(self, creature: Creature) -> list[Observation]:
        """Those that mention a value which this creature touched."""
        return [seen for seen in self.observations if any(self.creatures.get(v) == creature for v in seen.identifiers)]


class Number(NamedTuple):
    """A phone number in somebody's hands from one day to another."""

    phone: Identifier
    since: float
    until: float


@dataclass(slots=True)
class Screen:
    """A handset, laptop or tablet in somebody's hands: what its app says it is, and one browser with its cookies."""

    kind: str
    app: tuple[Identifier, ...]
    cookies: list[tuple[float, Identifier]]
    since: float
    until: float
    use: int

    def cookie(self, day: float) -> Identifier:
        return next(cookie for since, cookie in reversed(self.cookies) if since <= day)


@dataclass(slots=True)
class Person:
    """Who comes on which `days`, and with what. `accounts` begin on a day; `habits` weigh site, app, mini-program."""

    number: int
    name: str
    days: list[float]
    accounts: list[tuple[float, Identifier]]
    unionid: Identifier
    openids: tuple[Identifier, Identifier]
    numbers: list[Number]
    screens: list[Screen]
    habits: tuple[int, int, int]

    def member(self, day: float) -> list[Identifier]:
        """The account in use that day, if any."""
        return [account for since, account in self.accounts if since <= day][-1:]


class World:
    """The people, what they own, and what was observed of them so far."""

    def __init__(self, people: int, seed: int, zoo: float = 1.0) -> None:
        self._seed = seed
        self.zoo = zoo
        self.random = Random(seed)
        self.creatures: dict[Identifier, Creature] = {}
        self.rows: list[tuple[Person, float, tuple[Identifier, ...]]] = []
        self.in_use: set[str] = set()
        self._latest = ""
        self._seen: list[tuple[float, int, int, tuple[Identifier, ...]]] = []
        self.people = [self._person(number) for number in range(people)]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def some(self, share: float) -> list[Person]:
        """Such a share of all people, times the zoo's measure, at random."""
        return self.random.sample(self.people, round(min(1.0, share * self.zoo) * len(self.people)))

    def somebody_after(self, day: float) -> Person | None:
        """Somebody who is still about after that day."""
        return self.random.choice([each for each in self.people if each.days[-1] > day] or [None])

    def mark(self, creature: Creature, value: Identifier) -> Identifier:
        self.creatures[value] = creature
        return value

    def see(self, person: Person, day: float, strength: int, *met: Identifier) -> None:
        """Observe that these met; `person` is who really was there. What lies after the two years is not seen."""
        if day < DAYS:
            self._seen.append((day, person.number, strength, met))

    def row(self, person: Person, day: float, *met: Identifier) -> None:
        """A row of a CRM or an advertiser's list, with the name as somebody wrote it."""
        met = (*met, self.written(person))
        self.rows.append((person, day, met))
        self.see(person, day, ROW, *met)

    def stream(self) -> Stream:
        made = [
            (Observation(observation_id(f"{self._seed} {n}"), met, strength, START + int(day * DAY_MS)), person)
            for n, (day, person, strength, met) in enumerate(self._seen)
        ]
        made.sort(key=lambda each: (each[0].occurred_at, each[0].id))
        truth = {observation.id: person for observation, person in made}
        return Stream(tuple(observation for observation, _ in made), truth, self.creatures)

    def new(self, kind: str, prefix: str = "") -> Identifier:
        return Identifier(kind, f"{prefix}{self.random.getrandbits(64):016x}")

    def new_phone(self) -> Identifier:
        """Numbers lie close together, as real ones do: many differ from another in one digit."""
        number = f"+861{self.random.choice('35789')}{self.random.randrange(10**9):09d}"
        if self._latest and self.chance(0.2):
            number = self.random.choice([near for near in self.neighbours(self._latest) if near not in self.in_use])
        self._latest = number
        self.in_use.add(number)
        return Identifier("phone", number)

    def neighbours(self, number: str) -> list[str]:
        """All numbers that differ in one of the last eight digits."""
        return [f"{number[:n]}{d}{number[n + 1 :]}" for n in range(6, 14) for d in "0123456789" if d != number[n]]

    def written(self, person: Person) -> Identifier:
        forms = (person.name, f"{person.name[0]}先生", f"{person.name[0]}女士")
        return Identifier("name", self.random.choices(forms, (90, 5, 5))[0])

    def new_screen(self, kind: str, since: float, until: float = inf, use: int = 6) -> Screen:
        device, cookies, day = self.new("device_id"), [(-inf, self.new("anonymous_id"))], since
        while (day := day + self.random.expovariate(1 / COOKIE_LIFE)) < min(until, DAYS):
            cookies.append((day, self.new("anonymous_id")))
        return Screen(kind, (device,), cookies, since, until, use)

    def phone(self, person: Person, day: float) -> Identifier:
        return self.random.choice([each.phone for each in person.numbers if each.since <= day < each.until])

    def screen(self, person: Person, day: float, *kinds: str) -> Screen:
        own = [each for each in person.screens if each.kind in kinds and each.since <= day < each.until]
        return self.random.choices(own, [each.use for each in own])[0]

    def _person(self, number: int) -> Person:
        first, interest = self.random.uniform(0, DAYS - 20), self.random.lognormvariate(4.5, 1)
        visits = min(150, 1 + int(self.random.lognormvariate(1.75, 0.95)))
        last = min(DAYS, first + interest)
        name = self.random.choices(SURNAMES, SHARES)[0] + "".join(self.random.choices(GIVEN, k=2))
        phones = [self.new_phone() for _ in range(2 if self.chance(TWO_NUMBERS) else 1)]
        return Person(
            number,
            name,
            days=sorted(self.random.uniform(first, last) for _ in range(visits)),
            accounts=[(self.random.uniform(first, last), self.new("member_id", "m"))] if self.chance(MEMBERS) else [],
            unionid=self.new("wx_unionid", "u"),
            openids=(self.new("wx_openid", "wxmini/o"), self.new("wx_openid", "wxnews/o")),
            numbers=[Number(phone, -inf, inf) for phone in phones],
            screens=self._screens(),
            habits=self.random.choice(((7, 2, 1), (7, 1, 2), (3, 3, 4), (1, 6, 3), (1, 1, 8))),
        )

    def _screens(self) -> list[Screen]:
        """One handset after the other, and for many a laptop."""
        screens, day = [], self.random.uniform(-HANDSET_LIFE, 0)
        while day <= DAYS:
            until = day + 60 + self.random.expovariate(1 / HANDSET_LIFE)
            screens.append(self.new_screen("handset", day, until))
            day = until
        if self.chance(0.4):
            screens.append(self.new_screen("laptop", 0.0, use=3))
        return screens
