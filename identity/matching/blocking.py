"""Which pairs of records are compared at all: those that share a key.

A strong key (a phone, a whole date) proposes pairs alone, a weak one (a surname, a year) together with a weak key
of another column. Keys are functions of one record; a block above its cap is dropped for all of its members, which is
a function of the set: who is compared with whom does not depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from identity.matching.columns import ColumnType
from identity.matching.compare import district, in_order, sound
from identity.matching.normalise import pinyin, surname_zh
from identity.matching.records import NONE, Codes, Column, Records

STRONG_CAP = 100
"""Records in a block of one strong key. Above it the value is a placeholder or says little."""

WEAK_CAP = 60
"""Records in a block of two weak keys."""


ALONE_CAP = 30
"""Records in a block of one weak key alone: a rare surname is as good as a phone."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of one value; an empty text is no key."""

    take: Callable[[str], str]
    strong: bool = False


def _whole(value: str) -> str:
    return value


STRONG = Key(_whole, strong=True)
WEAK = Key(_whole)

KEYS: dict[ColumnType, tuple[Key, ...]] = {
    ColumnType.GIVEN_NAME: (WEAK, Key(sound)),
    ColumnType.SURNAME: (WEAK, Key(sound)),
    ColumnType.FULL_NAME: (
        Key(in_order, strong=True),
        Key(lambda name: name.split()[0]),
        Key(lambda name: name.split()[-1]),
    ),
    ColumnType.NAME_ZH: (STRONG, Key(pinyin, strong=True), Key(pinyin), Key(surname_zh)),
    ColumnType.DATE: (STRONG, Key(lambda date: date[:4]), Key(lambda date: date[4:])),
    ColumnType.PHONE: (
        Key(lambda number: number[-8:], strong=True),
        Key(lambda number: number[-4:]),
        Key(lambda number: number[-8:-4]),
    ),
    ColumnType.EMAIL: (STRONG, Key(lambda address: address.partition("@")[0], strong=True)),
    ColumnType.POSTCODE: (STRONG, WEAK, Key(district)),
    ColumnType.ADDRESS: (STRONG, WEAK, Key(lambda address: max(address.split(), key=len))),
    ColumnType.PLACE: (WEAK,),
    ColumnType.CATEGORY: (),
    ColumnType.ID_NUMBER: (
        STRONG,
        Key(lambda number: number[: len(number) // 2]),
        Key(lambda number: number[len(number) // 2 :]),
    ),
    ColumnType.VIN: (STRONG, Key(lambda vin: vin[-8:], strong=True), Key(lambda vin: vin[-6:])),
    ColumnType.PLATE: (STRONG, Key(lambda plate: plate[:-2]), Key(lambda plate: plate[2:])),
    ColumnType.TEXT: (STRONG, WEAK),
}


def candidate_pairs(records: Records) -> tuple[Codes, Codes]:
    """Pairs to compare, each once, the smaller place first, sorted; in mode `link` only between sources."""
    count = len(records)
    found = [
        left * count + right
        for codes, cap in _blocks(records)
        for left, right in [_pairs_within(codes, cap)]
        if len(left)
    ]
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    pairs = np.sort(np.concatenate(found))  # np.unique hashes, and takes five times as long
    left, right = np.divmod(pairs[np.append(True, pairs[1:] != pairs[:-1])], count)
    if records.sources is not None:
        between = records.sources[left] != records.sources[right]
        left, right = left[between], right[between]
    return left, right


def _blocks(records: Records) -> Iterator[tuple[Codes, int]]:
    """One code per record for each key or pair of keys, and the cap of its blocks."""
    weak: list[tuple[str, Codes]] = []
    for name, column in records.columns.items():
        for key in KEYS[column.kind]:
            codes = _key_codes(column, key)
            yield codes, STRONG_CAP if key.strong else ALONE_CAP
            if not key.strong:
                weak.append((name, codes))
    for (name, one), (other_name, other) in combinations(weak, 2):
        if name != other_name:
            yield np.where((one == NONE) | (other == NONE), NONE, one * (other.max(initial=0) + 1) + other), WEAK_CAP


def _key_codes(column: Column, key: Key) -> Codes:
    texts = [key.take(value) for value in column.values.tolist()]
    place = {text: number for number, text in enumerate(sorted(set(texts)))}
    of_value = np.fromiter((place[text] if text else NONE for text in texts), np.int64, len(texts))
    return np.append(of_value, NONE)[column.codes]


def _pairs_within(codes: Codes, cap: int) -> tuple[Codes, Codes]:
    """All pairs of records that share a code held by at most `cap` records."""
    order = np.flatnonzero(codes != NONE)
    order = order[np.argsort(codes[order], kind="stable")]
    sorted_codes = codes[order]
    starts = np.flatnonzero(np.append(True, sorted_codes[1:] != sorted_codes[:-1])) if len(order) else order
    sizes = np.diff(np.append(starts, len(order)))
    kept = np.repeat((sizes > 1) & (sizes <= cap), sizes)
    order, ends = order[kept], np.repeat(starts + sizes, sizes)[kept]
    places = np.flatnonzero(kept)
    left, right = [], []
    # Each record with the one after it in its block, then with the second after it, and so on.
    step, alive = 1, np.arange(len(order))
    while len(alive := alive[places[alive] + step < ends[alive]]):
        left.append(order[alive])
        right.append(order[alive + step])
        step += 1
    if not left:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    one, other = np.concatenate(left), np.concatenate(right)
    return np.minimum(one, other), np.maximum(one, other)
