"""What a new partition is called: values are numbers, persons the number of their oldest value."""

from __future__ import annotations

import pytest

from identity.changes import ChangeKind, Turn, turns

CREATED, MERGED, SPLIT, MOVED = ChangeKind.CREATED, ChangeKind.MERGED, ChangeKind.SPLIT, ChangeKind.MOVED


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {1: 1, 2: 1}, [Turn(CREATED, 1, ())]),
        ({1: 1}, {1: 1, 2: 1}, []),
        ({1: 1, 2: 2, 3: 3}, {1: 1, 2: 1, 3: 1}, [Turn(MERGED, 1, (2, 3))]),
        ({1: 1, 2: 1, 3: 1}, {1: 1, 2: 2, 3: 2}, [Turn(SPLIT, 1, (2,))]),
        ({1: 1, 2: 1, 3: 3}, {1: 1, 2: 2, 3: 2}, [Turn(MERGED, 2, (3,)), Turn(MOVED, 1, (2,))]),
        ({1: 1, 2: 2, 3: 2}, {1: 1, 2: 2, 3: 1}, [Turn(MOVED, 2, (1,))]),
        ({1: 1, 2: 1}, {1: 1, 2: 1}, []),
    ],
)
def test_what_happened_to_persons(before: dict[int, int], after: dict[int, int], expected: list[Turn]) -> None:
    assert turns(before, after) == expected
