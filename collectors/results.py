"""What became of each record of a request, told in the answer to it.

At intake only that is known which can be seen without building a record's properties: that it is no object, has no
name, is too large, or has a key of no source. So `ok` says that the record is durable; its outcome stands in the
accounting. A sender that reads these results needs never send a batch again because of one bad record in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from cdp.model import DropReason, Source

OK = {"result": "ok"}


class Result(msgspec.Struct, gc=False):
    """One record: the id that its sender knows it by, '' for none; why it is dropped; the key of its own."""

    id: str
    reason: DropReason | None = None
    detail: str = ""
    key: str = ""

    def as_dict(self) -> dict[str, str]:
        return OK if self.reason is None else {"result": "drop", "reason": self.reason, "detail": self.detail}


class Results:
    """The results of all records of one request, in their order; `accepted` are the keys that it is taken for."""

    def __init__(self, results: Iterable[Result], *, accepted: Collection[str]) -> None:
        self._results = list(results)
        self._accepted = frozenset(accepted) | {""}

    def check_keys(self, source_of_key: Callable[[str], Source | None]) -> None:
        """Drop what has a key of no source."""
        for result in self._results:
            if result.reason is None and result.key not in self._accepted and source_of_key(result.key) is None:
                result.reason = DropReason.UNKNOWN_KEY
                result.detail = DropReason.UNKNOWN_KEY.sentence

    def by_id(self) -> dict[str, Any]:
        """By id, or by index as `#3` where there is none. Of two with one id, the one that is kept counts."""
        told: dict[str, Any] = {}
        for index, result in enumerate(self._results):
            key = result.id or f"#{index}"
            if told.get(key) is not OK:
                told[key] = result.as_dict()
        return told
