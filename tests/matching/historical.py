"""Rows of historical persons as archives hold them: several rows a person, heavy errors, a truth to measure by.

It imitates public sets of that kind (names with nicknames and titles, days of birth moved or cut to 1 January,
places that change, empty fields, families that share surname and place); it is no copy of any of them.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "record_linkage"
COLUMNS = {
    "first_name": "given_name",
    "surname": "surname",
    "full_name": "full_name",
    "dob": "date",
    "birth_place": "place",
    "postcode_fake": "postcode",
    "gender": "category",
    "occupation": "category",
}
NICKNAMES = {
    "william": "will", "thomas": "tom", "robert": "bob", "james": "jim", "elizabeth": "betty", "joshua": "josh",
    "samuel": "sam", "nicholas": "nick", "benjamin": "ben", "alexandra": "sandra", "matthew": "matt",
    "michael": "mick", "isabella": "bella", "jessica": "jess", "daniel": "dan", "thomas ": "tommy", "joseph": "joe",
}  # fmt: skip
OCCUPATIONS = (
    "politician", "cricketer", "writer", "painter", "military personnel", "actor", "journalist", "association player",
    "lawyer", "physician", "botanist", "engineer", "bishop", "composer", "explorer", "rower", "photographer",
    "architect", "mathematician", "poet", "suffragette", "chemist", "trade unionist", "sculptor",
)  # fmt: skip
_SYLLABLES = """
ash bar bel bod bran brad bur car ches col crom dal den der dun ell far fen gar glen ham har hat hol ken kings lan lei
lin lyd mal mar mid nor oak pen pres raw red ring rom rush sal sel shef stan sut thor tun wal war wes win
"""
_ENDINGS = "by ton ham ley ford worth well field wick stead bury mouth don bridge combe"
SYLLABLES, ENDINGS = tuple(_SYLLABLES.split()), tuple(_ENDINGS.split())


def persons(rows: int, seed: int = 0) -> list[dict[str, str]]:
    """About `rows` rows (`unique_id`, `cluster` and the keys of COLUMNS), ten a person on average."""
    draw = random.Random(seed)
    words = Words(draw)
    made: list[dict[str, str]] = []
    number = 0
    while len(made) < rows:
        for person in _family(draw, words):
            number += 1
            copies = 1 + min(int(draw.expovariate(1 / 9)), 25)
            for copy in range(copies):
                error = 0.0 if copy == 0 else copy / copies
                row = _row(draw, words, person, error)
                made.append({"unique_id": f"Q{number}-{copy + 1}", "cluster": f"Q{number}", **row})
    return made[:rows]


class Words:
    """Names drawn with the frequencies of a real set, and places each with postcodes near it."""

    def __init__(self, draw: random.Random) -> None:
        with (DATA / "dataset4a.csv").open(encoding="utf-8") as file:
            read = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(file)]
        self.given = [row["given_name"] for row in read if row["given_name"]]
        self.surnames = [row["surname"] for row in read if row["surname"]]
        self.surnames += [f"{draw.choice(SYLLABLES)}{draw.choice(ENDINGS)}" for _ in range(5000)]
        self.places = [f"{draw.choice(SYLLABLES)}{draw.choice(ENDINGS)}" for _ in range(900)]
        self.areas = [_letters(draw, 2) for _ in range(110)]
        self.districts = {place: f"{draw.choice(self.areas)}{draw.randint(1, 29)}" for place in self.places}
        self.weights = [1 / (rank + 3) for rank in range(len(self.places))]

    def place(self, draw: random.Random) -> str:
        return draw.choices(self.places, self.weights)[0]

    def postcode(self, draw: random.Random, place: str) -> str:
        return f"{self.districts[place]} {draw.randint(1, 9)}{_letters(draw, 2)}"


def _letters(draw: random.Random, count: int) -> str:
    return "".join(draw.choice("abcdefghjlnpqrstuwxyz") for _ in range(count))


def _family(draw: random.Random, words: Words) -> list[dict[str, object]]:
    surname, place = draw.choice(words.surnames), words.place(draw)
    born = date(draw.randint(1650, 1930), 1, 1) + timedelta(days=draw.randint(0, 364))
    members = 1 + (draw.random() < 0.12) + (draw.random() < 0.05)
    family = []
    for _ in range(members):
        family.append(
            {
                "given": draw.choice(words.given),
                "middle": draw.choice(words.given) if draw.random() < 0.5 else "",
                "surname": surname,
                "title": draw.choice(("", "", "", "sir", f"1st baron {surname}", "lord")),
                "born": born,
                "place": place,
                "postcodes": [words.postcode(draw, place) for _ in range(3)],
                "gender": draw.choice(("male", "male", "male", "female")),
                "occupations": draw.sample(OCCUPATIONS, 2),
            }
        )
        born = min(born + timedelta(days=draw.randint(400, 9000)), date(1950, 1, 1))
    return family


def _row(draw: random.Random, words: Words, person: dict[str, object], error: float) -> dict[str, str]:
    def happens(share: float) -> bool:
        return draw.random() < share * error

    given, surname = str(person["given"]), str(person["surname"])
    if happens(0.35):
        given = NICKNAMES.get(given, given[:4] if draw.random() < 0.3 else given)
    if happens(0.15):
        given = str(person["middle"]) or draw.choice(words.given)
    if happens(0.12):
        surname = draw.choice(words.surnames)
    given, surname = (slip(draw, each) if happens(0.25) else each for each in (given, surname))
    middle = "" if happens(0.6) else str(person["middle"])
    title = "" if happens(0.6) else str(person["title"])
    if happens(0.06):
        given, surname = surname, given
    full = " ".join(each for each in (given, middle, surname, title) if each)
    given, surname = ("" if happens(0.08) else each for each in (given, surname))
    place = str(person["place"])
    home = words.place(draw) if happens(0.25) else place
    postcodes = person["postcodes"]
    assert isinstance(postcodes, list)
    postcode = draw.choice(postcodes) if happens(0.6) else postcodes[0]
    postcode = words.postcode(draw, home) if home != place or happens(0.4) else postcode
    occupations = person["occupations"]
    assert isinstance(occupations, Sequence)
    return {
        "first_name": given,
        "surname": surname,
        "full_name": full,
        "dob": "" if happens(0.35) else _born(draw, person["born"], error),
        "birth_place": "" if happens(0.35) else home if happens(0.5) else place,
        "postcode_fake": "" if happens(0.35) else slip(draw, postcode) if happens(0.15) else postcode,
        "gender": "" if happens(0.4) else str(person["gender"]),
        "occupation": "" if happens(0.4) else str(occupations[happens(0.5)]),
    }


def _born(draw: random.Random, born: object, error: float) -> str:
    assert isinstance(born, date)
    if draw.random() < 0.3 * error:
        return f"{born.year:04}-01-01"
    if draw.random() < 0.3 * error:
        born += timedelta(days=draw.randint(-40, 40))
    text = born.isoformat()
    if draw.random() < 0.15 * error:
        at = draw.randrange(2, 10)
        text = text if text[at] == "-" else f"{text[:at]}{draw.randint(0, 9)}{text[at + 1 :]}"
    return text


def slip(draw: random.Random, word: str) -> str:
    """One letter left out, doubled, changed, or changing places with the next."""
    if len(word) < 3:
        return word
    at = draw.randrange(len(word) - 1)
    return draw.choice(
        (
            word[:at] + word[at + 1 :],
            word[: at + 1] + word[at:],
            word[:at] + draw.choice("abcdefghijklmnoprstuvwy") + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        )
    )
