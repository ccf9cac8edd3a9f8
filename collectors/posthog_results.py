"""What can be said of each event of a batch before it is translated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw

from collectors.posthog_event import original_name
from collectors.record import NotAnEventError, Scalar, checked_size, decoded, text
from collectors.results import Result


class _Brief(msgspec.Struct, rename={"old_token": "$token"}, gc=False):
    """All of an event that is looked at; the rest is skipped."""

    event: Scalar = None
    uuid: Scalar = None
    api_key: Scalar = None
    token: Scalar = None
    old_token: Scalar = None


_BRIEF = msgspec.json.Decoder(_Brief)


def results_of(records: Sequence[Raw]) -> Iterator[Result]:
    for record in records:
        told = _Brief()
        try:
            told = decoded(bytes(record), _BRIEF)
            checked_size(record)
            original_name(told.event)
        except NotAnEventError as error:
            yield Result(text(told.uuid), error.reason, error.detail)
        else:
            yield Result(text(told.uuid), key=text(told.api_key) or text(told.token) or text(told.old_token))
