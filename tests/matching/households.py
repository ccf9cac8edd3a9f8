"""Rows of a dealer and of a web shop: families under one roof, some of whom have moved between the two."""

from __future__ import annotations

import random

from tests.matching.historical import Words, slip

COLUMNS = {
    "first_name": "given_name",
    "last_name": "surname",
    "born": "date",
    "street": "address",
    "town": "place",
    "postcode": "postcode",
    "card": "id_number",
}
MISSING = {"first_name": 0.05, "born": 0.1, "card": 0.3}


def households(persons: int, seed: int = 0) -> list[dict[str, str]]:
    """Two rows a person, of the sources `dealer` and `shop` (`id`, `person`, `source` and the keys of COLUMNS)."""
    draw = random.Random(seed)
    words = Words(draw)
    rows: list[dict[str, str]] = []
    number = 0
    while number < persons:
        surname, home = draw.choice(words.surnames), _home(draw, words)
        for _ in range(draw.choice((1, 2, 2, 3, 4))):
            number += 1
            person = {
                "first_name": draw.choice(words.given),
                "last_name": surname,
                "born": f"{draw.randint(1940, 2005)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
                "card": f"{draw.randrange(10**9):09}",
                **home,
            }
            for source in ("dealer", "shop"):
                moved = _home(draw, words) if source == "shop" and draw.random() < 0.15 else {}
                written = {name: _written(draw, name, value) for name, value in (person | moved).items()}
                rows.append({"id": f"{source}-{number}", "person": str(number), "source": source, **written})
    return rows


def _home(draw: random.Random, words: Words) -> dict[str, str]:
    street = f"{draw.randint(1, 400)} {words.place(draw)} road"
    return {"street": street, "town": words.place(draw), "postcode": str(draw.randint(10_000, 10_400))}


def _written(draw: random.Random, name: str, value: str) -> str:
    if draw.random() < MISSING.get(name, 0.0):
        return ""
    return slip(draw, value) if draw.random() < 0.06 else value
