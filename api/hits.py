"""`/hits`: a request of an SDK as it came, and what became of everything in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

from api import shapes
from api.answer import answer
from api.documented import ok
from api.gate import PREFIX, ReadsHits
from api.keys import ApiKey
from api.permissions import Permission
from api.services import Services, Use
from cdp.accounting import WHOLE_HIT, Refusal, refusals_of
from cdp.errors import NotFound, Rejected
from cdp.model import Dropped, Event, Hit, Position
from cdp.moments import rfc3339
from cdp.records import reading
from cdp.redactions import REDACTED
from cdp.scrub import scrub_json, scrub_text
from cdp.seen import Place, SeenIds, key_of
from collectors.registry import FORM_FILLED, TRANSLATORS
from identity.normalise import normalise

LAST_OFFSET = 2**63 - 1
"""The largest number that the log's store can be asked for."""
SECRET_HEADERS = frozenset({"authorization", "cookie", "x-write-key"})
FORM = "It holds names and other values that cannot be found one by one; a key that may see clear values sees it."
WITHHELD = "It is encoded or no JSON, so personal values in it cannot be masked; a key that may see them sees it."

router = APIRouter(prefix=f"{PREFIX}/hits", tags=["hits"])


@router.get("/{hit}", summary="原始请求 · A request as it came, and its events", responses=ok(shapes.Hit))
async def one(hit: str, use: Use, caller: ReadsHits) -> Response:
    return answer(await run_sync(_found, use, caller, hit))


def _found(use: Services, caller: ApiKey, hit_id: str) -> shapes.Hit:
    try:
        position = Position.of_hit(hit_id)
    except ValueError:
        raise NotFound("hit", hit_id) from None
    hit = use.system.hits.find(position) if position.offset <= LAST_OFFSET else None
    if hit is None:
        raise NotFound("hit", f"{hit_id}, or it is past its retention")
    processed = use.system.progress.wait_for({position.partition: position.offset + 1}, 0)
    refusals = _refusals(use, position) if processed else {}
    whole = refusals.get(Place(*position, WHOLE_HIT))
    return _as_seen(
        use,
        caller,
        hit,
        shapes.Hit(
            id=hit_id,
            received_at=rfc3339(hit.received_at),
            source=hit.source,
            dialect=hit.dialect,
            method=hit.method,
            target=hit.target,
            headers=dict(hit.headers),
            client_ip=hit.client_ip,
            body=None,
            encoding="text",
            withheld=None,
            state=REDACTED if hit.dialect == REDACTED else _state(processed, whole),
            problem=use.showing.document(caller, whole.detail, subject=f"hit {hit_id}") if whole else None,
            events=_events(use, caller, hit, position, refusals, processed=processed),
        ),
    )


def _refusals(use: Services, position: Position) -> Mapping[Place, Refusal]:
    with reading(use.system.records) as connection:
        return refusals_of(connection, position.partition, position.offset, position.offset + 1)


def _state(processed: bool, whole: Refusal | None) -> str:
    return "pending" if not processed else "unreadable" if whole else "translated"


@dataclass(frozen=True, slots=True)
class _Fate:
    outcome: str
    reason: str | None = None
    detail: str | None = None
    first_hit: str | None = None


def _events(
    use: Services, caller: ApiKey, hit: Hit, position: Position, refusals: Mapping[Place, Refusal], *, processed: bool
) -> list[shapes.HitEvent]:
    """The hit translated again, as the worker did; what became of each record beside it. Of a redacted hit only what
    was refused is known."""
    if hit.dialect == REDACTED:
        return [_refused(refusal) for place, refusal in sorted(refusals.items()) if place.item != WHOLE_HIT]
    use.system.sources.refresh()
    try:
        records = TRANSLATORS[hit.dialect].translate(hit, position.hit_id, use.system.sources.by_key)
    except (Rejected, KeyError):
        return []
    shown = []
    for index, record in enumerate(records):
        place = Place(*position, index)
        fate = _fate(use, record, place, refusals.get(place)) if processed else _Fate("pending")
        event = record if isinstance(record, Event) else None
        shown.append(
            shapes.HitEvent(
                index=index,
                id=event.id if event else None,
                type=event.type.value if event else None,
                name=scrubbed(use, event.name) if event else None,
                outcome=fate.outcome,
                reason=fate.reason,
                detail=use.showing.document(caller, fate.detail, subject=f"hit {position.hit_id}"),
                first_hit=fate.first_hit,
            )
        )
    return shown


def _refused(refusal: Refusal) -> shapes.HitEvent:
    return shapes.HitEvent(
        index=refusal.place.item,
        id=refusal.event,
        type=None,
        name=None,
        outcome="dropped",
        reason=refusal.reason,
        detail=refusal.detail,
        first_hit=None,
    )


def _fate(use: Services, record: Event | Dropped, place: Place, refusal: Refusal | None) -> _Fate:
    if refusal is not None:
        return _Fate("dropped", refusal.reason, refusal.detail)
    if isinstance(record, Dropped):
        # A dialect that was mended since says so of what it once took.
        return _Fate("dropped", record.reason.value, record.detail)
    with reading(use.system.records) as connection:
        seen = SeenIds().find(connection, key_of(record.id))
    if seen is None or seen[0] == place:
        return _Fate("stored")
    return _Fate("duplicate", first_hit=Position(seen[0].partition, seen[0].offset).hit_id)


def scrubbed(use: Services, text: str) -> str:
    """Free text without clear personal values."""
    return scrub_text(text, lambda kind, value: _token(use, kind, value))


def _token(use: Services, kind: str, value: str) -> str | None:
    same = normalise(kind, value, region=use.system.settings.region)
    return None if same is None else use.system.vault.token(kind, same)


def _as_seen(use: Services, caller: ApiKey, hit: Hit, shown: shapes.Hit) -> shapes.Hit:
    """The hit with as much of it as the caller may see; showing it whole leaves an audit row."""
    if caller.may(Permission.SEE_CLEAR):
        # The values in it are not known one by one.
        use.auditor.note_shown(caller, [""], subject=f"hit {shown.id}")
        body, encoding = _text_or_base64(hit.body)
        return msgspec.structs.replace(shown, body=body, encoding=encoding)
    named = hit.dialect in FORM_FILLED
    masked = None if named else _masked_body(use, caller, hit, shown.id)
    return msgspec.structs.replace(
        shown,
        target=scrubbed(use, urlsplit(hit.target).path),
        headers={
            name: "****" if name in SECRET_HEADERS else scrubbed(use, value) for name, value in hit.headers.items()
        },
        body=masked,
        withheld=FORM if named else WITHHELD if masked is None else None,
    )


def _text_or_base64(body: bytes) -> tuple[str, str]:
    try:
        return body.decode(), "text"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def _masked_body(use: Services, caller: ApiKey, hit: Hit, hit_id: str) -> str | None:
    if not hit.body:
        return ""
    try:
        clean = scrub_json(hit.body, lambda kind, value: _token(use, kind, value))
        document = msgspec.json.decode(clean)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return msgspec.json.encode(use.showing.document(caller, document, subject=f"hit {hit_id}")).decode()
