"""Lead forms: a page, a mini-program or a server posts what somebody typed to `/f/{key}`.

An HTML form needs no script. Contact, interest and channel are found by their usual names (`leads.contact`), and
what is ours begins with `xunji_`: `xunji_id`, `xunji_anonymous_id`, `xunji_user_id`, `xunji_identifiers`,
`xunji_page`, `xunji_title`, `xunji_referrer`, `xunji_campaign`, `xunji_consent_version`, `xunji_at`,
`xunji_redirect`, and the trap `xunji_website`. Our tracker and clients send the same as JSON, also under text/plain:

    {messageId, anonymousId, userId, identifiers: [{kind, value}],
     contact: {name, phone, email, wechat}, interest: {series, model, dealer, city, note}, channel,
     consent: {purposes: [], text_version, at}, campaign: {source, medium, name, term, content, click_ids: {}},
     context: {page: {url, path, title, referrer}, campaign, sessionId, locale, userAgent, ip, platform, app: {id, …}},
     properties: {}, shownAt, timestamp, sentAt, website: ""}

and are answered `{"ok": true, "lead": "ld_…"}`; the same messageId again is the same lead. All fields but one way to
reach the person may be left out, and what is not named here becomes a property.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import msgspec

from cdp.errors import MalformedHit, Refused, Rejected, TooLarge
from cdp.model import Dropped, DropReason, Event, Hit, Millis, Source, Trust
from collectors.body import split_target
from collectors.dialect import Answer, Envelope, Request, SourceOfKey, Unreadable
from collectors.form_page import Problem, refusal_page, safe_redirect, thanks_page, wants_page
from collectors.form_submission import Submission, event_of, read_submission
from collectors.ids import event_id
from collectors.record import unreadable
from collectors.user_agent import device_of
from leads.contact import check_contact
from leads.lead import lead_id_of, lead_of_event

_PATH = re.compile(r"/f/([^/]+)/?")


class FormEnvelope(Envelope, frozen=True, kw_only=True):
    """What the answer needs besides: the lead that this will be, where the browser goes, and where it came from."""

    submission: Submission
    lead: str = ""
    redirect: str = ""
    back: str = ""


class Form:
    """The dialect of forms. `region` is the numbering plan of phone numbers without a country code."""

    name = "form"
    keeps_unknown_keys = False

    def __init__(self, *, region: str = "CN") -> None:
        self._region = region

    def handles(self, method: str, path: str) -> bool:
        return method == "POST" and _PATH.fullmatch(path) is not None

    def config(self, request: Request) -> Answer | None:
        return None

    def read(self, request: Request) -> Envelope:
        key = _key(request.path)
        try:
            sent = read_submission(request.body, request.headers.get("referer", ""))
        except MalformedHit as error:
            raise Unreadable(key, error.detail) from error
        return FormEnvelope(key, 1, per_client=True, submission=sent)

    def checked(self, request: Request, envelope: Envelope, source: Source, now: Millis) -> Envelope:
        """Refuse what nobody could be reached by while there is somebody to correct it."""
        sent = cast(FormEnvelope, envelope).submission
        if not sent.robot(now):
            problems = self._problems(sent)
            if problems:
                raise _refused(problems)
        made = event_id(source.id, sent.client_id(now))
        return FormEnvelope(
            envelope.key,
            envelope.events,
            submission=sent,
            lead=lead_id_of(source.id, lead_of_event(made)),
            redirect=safe_redirect(sent.redirect, request.headers, sent.page.url, source.origins),
            back=safe_redirect(sent.page.url, request.headers, sent.page.url, source.origins),
        )

    def _problems(self, sent: Submission) -> list[Problem]:
        checked = check_contact(sent.fields.contact, region=self._region)
        if not sent.fields.reachable:
            return [Problem.NO_CONTACT]
        return [Problem(path) for path in checked.invalid]

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        made = cast(FormEnvelope, envelope)
        if not wants_page(request):
            return Answer(200, msgspec.json.encode({"ok": True, "lead": made.lead}))
        if made.redirect:
            return Answer(303, content_type="", headers={"Location": made.redirect})
        return thanks_page(request.headers, made.back)

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        return refusal_page(request.headers, error) if wants_page(request) else None

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        try:
            sent = read_submission(hit.body, hit.headers.get("referer", ""))
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error
        source = source_of_key(_key(split_target(hit.target)[0]))
        public = source is None or source.trust is Trust.PUBLIC
        reason = sent.robot(hit.received_at) or (_named_robot(hit) if public else "")
        if reason:
            return [Dropped(source=hit.source, reason=DropReason.BOT, detail=reason, hit=hit_id)]
        return [event_of(sent, hit, hit_id, source)]


def _key(path: str) -> str:
    found = _PATH.fullmatch(path)
    return found[1] if found else ""


def _named_robot(hit: Hit) -> str:
    robot = device_of(hit.headers.get("user-agent", "")).kind == "bot"
    return "the user agent names a robot" if robot else ""


def _refused(problems: Sequence[Problem]) -> Refused:
    return Refused(
        " ".join(f"{problem.zh} {problem.en}" for problem in problems),
        [
            {
                "path": problem.value,
                "expected": problem.expected,
                "got": "none" if problem is Problem.NO_CONTACT else "one that cannot be",
                "help": f"{problem.zh} {problem.en}",
            }
            for problem in problems
        ],
    )
