"""Every error we raise on purpose, and what happens to each.

XunjiError ── Retryable            the consumer pauses and tries again    StoreUnavailable, LogFull,
                                                                              GraphConflict, GateLost, GateClosed
           ── Superseded           another process does it now            Overtaken, LeaseLost
           ── Rejected             the caller gets a 4xx                  MalformedHit, TooLarge, UnknownSource, …
           ── ConfigurationError   the process stops with one clear sentence

A bad event is not an error: it is data and gets an outcome (`cdp.model.Dropped`). Errors take values and write
their own sentence: what was expected, what came, what to do.
"""

from __future__ import annotations

from typing import Any


class XunjiError(Exception):
    """The root: whoever catches it catches everything we raise on purpose, and nothing else."""


class Retryable(XunjiError):
    """The same call may succeed later; nothing of it was done, or doing it again is harmless."""

    retry_after_s: int = 1


class StoreUnavailable(Retryable):
    def __init__(self, store: str, cause: str) -> None:
        self.store, self.cause = store, cause
        super().__init__(f"The {store} store cannot be reached: {cause}. It is tried again; see `cdp doctor`.")


class GraphConflict(Retryable):
    def __init__(self, seq: int) -> None:
        super().__init__(
            f"Another writer made version {seq} of the identity graph. Only one may write; stop the other."
        )


class Superseded(XunjiError):
    """Another process has taken over what this one does: nothing more of it may be written here."""


class Overtaken(Superseded):
    def __init__(self, partition: int) -> None:
        self.partition = partition
        super().__init__(f"Partition {partition} of the log is another worker's now; what it began here is done there.")


class LeaseLost(Superseded):
    def __init__(self, name: str) -> None:
        self.lease = name
        super().__init__(f"The lease {name!r} is another process's now; nothing more is written here.")


class GateLost(Retryable):
    """The database took a place in the gate back; what was begun in it must not be committed."""

    def __init__(self) -> None:
        super().__init__("The session that held the gate ended. What was begun inside is done again.")


class GateClosed(Retryable):
    """Others keep whoever answers a request out for longer than it waits: an erasure, or what is brought up to date."""

    retry_after_s = 5

    def __init__(self) -> None:
        super().__init__("Other work goes first: an erasure, or much that came before. If that lasts see `cdp doctor`.")


class ErasureUnfinished(Retryable):
    """Whoever has erased half a person died; what came in between would meet the other half."""

    def __init__(self) -> None:
        super().__init__("An erasure was cut off; nothing is taken in until it is resumed. See that a scheduler runs.")


class LogFull(Retryable):
    retry_after_s = 5

    def __init__(self, cause: str) -> None:
        super().__init__(f"The log takes no writes: {cause}. Free space on its disk; senders try again by themselves.")


class ConfigurationError(XunjiError):
    def __init__(self, setting: str, *, came: str, allowed: str) -> None:
        self.setting, self.came, self.allowed = setting, came, allowed
        super().__init__(f"{setting} is {came}; allowed is {allowed}.")


class Rejected(XunjiError):
    """The caller's request cannot be taken as it is. `errors` are (path, expected, got, help) as in RFC 9457."""

    status = 400
    title = "Bad request"

    def __init__(self, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []


class MalformedHit(Rejected):
    """The body of a hit cannot be read; kept and counted all the same when its source is known."""

    title = "Unreadable hit"

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"Expected {expected}, got {got}. Send what the SDK builds, without change on the way.")


class TooLarge(Rejected):
    status = 413
    title = "Too large"

    def __init__(self, what: str, *, limit: int, unit: str) -> None:
        super().__init__(f"{what} is over {limit:,} {unit}. Send less in one request.")


class UnknownSource(Rejected):
    status = 401
    title = "Unknown key"

    def __init__(self) -> None:
        super().__init__("No enabled source has this key. Create the source with `cdp source create`, or mend the key.")


class TooManyRequests(Rejected):
    status = 429
    title = "Too many requests"

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"This key is over its rate limit. Send again after {retry_after_s} s.")


class Unauthorized(Rejected):
    status = 401
    title = "No valid key"

    def __init__(self) -> None:
        super().__init__("Send an API key as `Authorization: Bearer <key>`; `cdp key create` makes one.")


class Forbidden(Rejected):
    status = 403
    title = "Not allowed"

    def __init__(self, role: str, permission: str) -> None:
        super().__init__(f"The role {role} may not {permission}. Ask for a key of a role that may.")


class NotFound(Rejected):
    status = 404
    title = "Not found"

    def __init__(self, what: str, which: str) -> None:
        super().__init__(f"There is no {what} {which}.")


class Conflict(Rejected):
    status = 409
    title = "Conflict"


class Refused(Rejected):
    """Understood, and not done."""

    status = 422
    title = "Refused"
