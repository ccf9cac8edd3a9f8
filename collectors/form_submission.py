"""One submission of a form: what its fields say, and the event that they become.

A form says in fields beginning `xunji_` what our JSON says in names of its own; both are read into the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cdp.errors import MalformedHit
from cdp.model import (
    DAY_MS,
    NO_CAMPAIGN,
    App,
    Campaign,
    Event,
    EventId,
    EventType,
    Hit,
    Identifier,
    Millis,
    Page,
    Source,
    SourceKind,
    Trust,
)
from cdp.moments import rfc3339
from collectors.campaign import campaign_in, campaign_of
from collectors.clock import occurred_at, parse_time
from collectors.enquiry import LEAD_SUBMITTED, Fields, properties_of, sort_fields
from collectors.form_fields import read_fields
from collectors.ids import event_id, hashed
from collectors.record import KIND_ORDER, MAX_IDENTIFIERS, NotAnEventError, in_order, path_of, plain_value, text
from collectors.user_agent import device_of
from leads.contact import IDENTIFYING
from leads.lead import lead_id_of, lead_of_event

TRAP = "xunji_website"
"""The field that people do not see and robots fill in."""
MIN_SHOWN_MS: Millis = 1_000
"""Nobody reads a form, types a phone number and sends it in less."""

MAX_ID = 200
QUIET_HOUR_MS = 4 * 3_600_000
"""Before midnight in UTC, which is four o'clock in China: when a day ends for submissions without an id."""

DEFAULT_PURPOSE = "sales_contact"
_YES = frozenset({"on", "true", "1", "yes", "y", "agree", "agreed", "checked", "是", "同意", "已同意"})
_NO = frozenset({"off", "false", "0", "no", "n", "否", "不同意"})
_CONSENT_FIELDS = ("consent", "agree", "agreement", "privacy", "同意", "隐私")

_NAMES = {
    "messageId": "xunji_id",
    "anonymousId": "xunji_anonymous_id",
    "userId": "xunji_user_id",
    "identifiers": "xunji_identifiers",
    "campaign": "xunji_campaign",
    "context": "xunji_context",
    "timestamp": "xunji_timestamp",
    "sentAt": "xunji_sent_at",
    "shownAt": "xunji_at",
}
"""Names of our JSON, and what a form calls the same."""
_PREFIX = "xunji_"
_CHANGES_ON_RETRY = frozenset({"xunji_sent_at", "xunji_timestamp"})
_MINI_PROGRAM_PAGE = re.compile(r"https://servicewechat\.com/(\w+)/")
"""What WeChat puts into Referer, whatever page was open."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent, read but not judged. `id` is the sender's, '' where it gave none; `digest` stands for all that
    was typed. Times are of the sender's clock."""

    fields: Fields
    consent: dict[str, Any] | None
    id: str
    digest: str
    identifiers: tuple[Identifier, ...]
    page: Page
    campaign: Campaign
    context: dict[str, Any]
    trap: bool
    redirect: str
    shown: Millis | None
    said: Millis | None
    sent: Millis | None

    def client_id(self, received_at: Millis) -> str:
        """What makes a repeat this one: its id; else all that was typed, on one showing of the form or one day."""
        if self.id:
            return self.id
        day = "" if self.shown is not None else str((received_at + QUIET_HOUR_MS) // DAY_MS)
        return hashed(self.digest, day)

    def robot(self, received_at: Millis) -> str:
        """Why a robot sent this, or ''."""
        if self.trap:
            return f"the field {TRAP} was filled in"
        if self.shown is None:
            return ""
        taken = (received_at if self.sent is None else self.sent) - self.shown
        # Less than nothing is a clock that is wrong, and tells of nobody.
        return f"sent {taken} ms after the form was shown" if 0 <= taken < MIN_SHOWN_MS else ""


def read_submission(body: bytes, referer: str = "") -> Submission:
    """Raises MalformedHit and TooLarge. `referer` is the page where the form names none."""
    ours, theirs = _told(read_fields(body))
    said = {**theirs, **{name: value for name, value in ours.items() if name not in _CHANGES_ON_RETRY}}
    try:
        plain_value(canonical := msgspec.json.encode(said, order="sorted"))
    except NotAnEventError as error:
        raise MalformedHit("a form", error.detail) from None
    identifiers, unknown = _identifiers(ours)
    context = _object(ours.get("xunji_context"))
    consent = _consent(theirs, ours)
    page = _page(ours, context, referer)
    return Submission(
        fields=sort_fields(theirs | ({"unknown_identifiers": unknown} if unknown else {})),
        consent=consent,
        id=text(ours.get("xunji_id"))[:MAX_ID],
        digest=hashed(canonical.decode()),
        identifiers=in_order(identifiers),
        page=page,
        campaign=campaign_of(_campaign(ours, context, theirs), page.url),
        context=context,
        trap=bool(text(ours.get(TRAP))),
        redirect=text(ours.get("xunji_redirect")),
        shown=parse_time(_number(ours.get("xunji_at"))),
        said=parse_time(_number(ours.get("xunji_timestamp"))),
        sent=parse_time(_number(ours.get("xunji_sent_at"))),
    )


def _told(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that have a meaning of ours, by their names in a form, and all the others."""
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    # A form may well ask for a website; in our own JSON what a form asks stands inside.
    names = _NAMES | {"website": TRAP} if isinstance(fields.get("contact"), dict) else _NAMES
    for name, value in fields.items():
        known = names.get(name) or (name if name.startswith(_PREFIX) else "")
        if known:
            ours[known] = value
        elif name == "properties" and isinstance(value, dict):
            theirs = {**value, **theirs}
        else:
            theirs[name] = value
    return ours, theirs


def _number(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _object(value: Any) -> dict[str, Any]:
    """An object, which a form sends as JSON text; {} for all else."""
    found = _parsed(value)
    return found if isinstance(found, dict) else {}


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return None
    return value


def _identifiers(ours: Mapping[str, Any]) -> tuple[list[Identifier], list[Any]]:
    """Who the page says is there, and what it said of kinds that nobody knows."""
    told = (("member_id", ours.get("xunji_user_id")), ("anonymous_id", ours.get("xunji_anonymous_id")))
    found = [Identifier(kind, value) for kind, given in told if (value := text(given))]
    more = _parsed(ours.get("xunji_identifiers"))
    unknown = []
    for each in more if isinstance(more, list) else []:
        kind, value = (text(each.get(name)) for name in ("kind", "value")) if isinstance(each, dict) else ("", "")
        if kind in KIND_ORDER and value:
            found.append(Identifier(kind, value))
        else:
            unknown.append(each)
    return found[:MAX_IDENTIFIERS], unknown


def _page(ours: Mapping[str, Any], context: Mapping[str, Any], referer: str) -> Page:
    told = _object(context.get("page")) or _object(ours.get("xunji_page"))
    url = text(told.get("url")) or ("" if told else text(ours.get("xunji_page")))
    if not (url or told or _MINI_PROGRAM_PAGE.match(referer)):
        url = referer
    return Page(
        url=url,
        path=text(told.get("path")) or path_of(url),
        title=text(told.get("title")) or text(ours.get("xunji_title")),
        referrer=text(told.get("referrer")) or text(ours.get("xunji_referrer")),
    )


def _campaign(ours: Mapping[str, Any], context: Mapping[str, Any], theirs: Mapping[str, Any]) -> Campaign:
    """Of our own field, else of what trackers call it, else of fields named as in a URL."""
    told = ours.get("xunji_campaign")
    said = _object(told) or _object(context.get("campaign"))
    if not said:
        found = campaign_in(theirs)
        if found is NO_CAMPAIGN:
            found = campaign_in(ours, _PREFIX)
        name = "" if isinstance(told, str) and told[:1] == "{" else text(told)
        return msgspec.structs.replace(found, name=name) if name else found
    clicks = said.get("click_ids") or said.get("clickIds")
    return Campaign(
        **{field: text(said.get(field)) for field in ("source", "medium", "name", "term", "content")},
        click_ids={name: text(value) for name, value in clicks.items()} if isinstance(clicks, dict) else {},
    )


def _consent(theirs: dict[str, Any], ours: Mapping[str, Any]) -> dict[str, Any] | None:
    """Take the consent out of the fields: an object of the contract's shape, or what a checkbox sends, whose value
    is the purpose or only says yes. None where nothing was agreed to."""
    told = next((theirs.pop(name) for name in _CONSENT_FIELDS if name in theirs), None)
    version = text(ours.get("xunji_consent_version"))
    at = ""
    if isinstance(told, dict):
        version = next((found for name in ("text_version", "textVersion") if (found := text(told.get(name)))), version)
        at = text(told.get("at"))
        told = told.get("purposes", True)
    said = told if isinstance(told, list) else [told]
    words = [("on" if each else "off") if isinstance(each, bool) else text(each) for each in said]
    purposes = [DEFAULT_PURPOSE if word.lower() in _YES else word for word in words if word and word.lower() not in _NO]
    if not purposes:
        return None
    return {"purposes": list(dict.fromkeys(purposes)), "text_version": version, "at": at}


def event_of(sent: Submission, hit: Hit, hit_id: str, source: Source | None) -> Event:
    """The event of a submission. `source` is its sender where that is known: a server speaks for somebody else."""
    client_id = sent.client_id(hit.received_at)
    its_id = event_id(hit.source, client_id)
    context = sent.context
    server = source is not None and source.trust is Trust.SERVER
    at = occurred_at(hit.received_at, said=sent.said, sent=None if server else sent.sent)
    consent = sent.consent and {**sent.consent, "at": sent.consent["at"] or rfc3339(at)}
    app = _object(context.get("app"))
    mini_program = _MINI_PROGRAM_PAGE.match(hit.headers.get("referer", ""))
    return Event(
        id=its_id,
        client_id=client_id,
        type=EventType.TRACK,
        name=LEAD_SUBMITTED,
        original_name=LEAD_SUBMITTED,
        occurred_at=at,
        received_at=hit.received_at,
        source=hit.source,
        dialect=hit.dialect,
        hit=hit_id,
        platform=text(context.get("platform")) or _platform(sent.page, source, bool(mini_program)),
        app=App(
            id=text(app.get("id")) or text(app.get("namespace")) or (mini_program[1] if mini_program else ""),
            name=text(app.get("name")),
            version=text(app.get("version")),
        ),
        session=text(context.get("sessionId")) or text(context.get("session")),
        identifiers=sent.identifiers or _nobody_else(sent, hit.source, its_id),
        page=sent.page,
        campaign=sent.campaign,
        device=device_of(text(context.get("userAgent")) or ("" if server else hit.headers.get("user-agent", ""))),
        locale=text(context.get("locale")),
        ip=text(context.get("ip")) if server else hit.client_ip,
        properties=properties_of(sent.fields, consent),
    )


def _nobody_else(sent: Submission, source: str, event: EventId) -> tuple[Identifier, ...]:
    """Of somebody who leaves a WeChat number alone the lead itself is all that is known, and makes a person of them."""
    if sent.fields.contact.keys() & set(IDENTIFYING):
        return ()
    return (Identifier("lead_id", lead_id_of(source, lead_of_event(event))),)


def _platform(page: Page, source: Source | None, mini_program: bool) -> str:
    if mini_program or (source is not None and source.kind is SourceKind.MINI_PROGRAM):
        return "mini_program"
    if source is not None and source.trust is Trust.SERVER:
        return "server"
    return "web" if page.url.lower().startswith(("http://", "https://")) else ""
