"""What can be said of each call of a batch before it is translated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw

from collectors.record import NotAnEventError, Scalar, checked_size, decoded, text
from collectors.results import Result
from collectors.segment_call import original_name


class _Brief(msgspec.Struct, rename="camel", gc=False):
    """All of a call that is looked at; the rest is skipped."""

    type: str | None = None
    event: Scalar = None
    message_id: Scalar = None
    write_key: Scalar = None


_BRIEF = msgspec.json.Decoder(_Brief)


def results_of(records: Sequence[Raw], call: str) -> Iterator[Result]:
    """`call` is what the path asks for, 'batch' where that says nothing."""
    for record in records:
        told = _Brief()
        try:
            told = decoded(bytes(record), _BRIEF)
            checked_size(record)
            original_name(told.event, (told.type or "").strip().lower() or call)
        except NotAnEventError as error:
            yield Result(text(told.message_id), error.reason, error.detail)
        else:
            yield Result(text(told.message_id), key=text(told.write_key))
