"""Read a lead that a caller sends: every field that is wrong is named, nothing is guessed.

A caller that is told can send again with what is right; so here a wrong phone is refused, while a tracked event,
which nobody can ask again, is captured with what it has (`capture.LeadDesk.from_event`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from cdp.errors import Refused, Rejected
from cdp.model import Identifier
from cdp.moments import parse_rfc3339, rfc3339
from identity.kinds import Policy
from identity.normalise import normalise
from leads.contact import can_be, check_contact
from leads.lead import INTEREST_FIELDS, Enquiry

MAX_CAMPAIGN_BYTES = 20_000

EXPECTED = {"contact.phone": "a phone number that can exist", "contact.email": "an e-mail address"}

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Word = Annotated[str, msgspec.Meta(max_length=200)]
"""A form sends what was left blank as an empty string, which counts as not sent."""
Text = Annotated[str, msgspec.Meta(max_length=5_000)]


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Word | None = None
    phone: Word | None = None
    email: Word | None = None
    wechat: Word | None = None


class GivenIdentifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Name
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Interest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    series: Word | None = None
    model: Word | None = None
    dealer: Word | None = None
    city: Word | None = None
    note: Text | None = None


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the person agreed to, by which text, when (RFC 3339)."""

    purposes: Annotated[list[Name], msgspec.Meta(max_length=100)]
    text_version: Name
    at: Name


class LeadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /leads, of the right shape; `enquiry_of` checks what it says."""

    source: Name
    contact: Contact
    consent: Consent
    external_id: Word | None = None
    identifiers: Annotated[list[GivenIdentifier], msgspec.Meta(max_length=50)] = []
    channel: Word | None = None
    campaign: dict[str, Any] = {}
    interest: Interest = Interest()

    def __repr__(self) -> str:
        return f"LeadRequest(source={self.source!r})"


def read_request(body: bytes | dict[str, Any]) -> LeadRequest:
    """A request of its JSON text or of the object in it.

    Raises Rejected (400) where the text is no JSON, Refused (422) with the path of what has the wrong shape.
    """
    try:
        if isinstance(body, dict):
            return msgspec.convert(body, LeadRequest)
        return msgspec.json.decode(body, type=LeadRequest)
    except msgspec.ValidationError as error:
        raise _refused([_problem_of(str(error))]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"The body is no JSON text: {error}. Send one JSON object.") from None


def enquiry_of(request: LeadRequest, *, region: str, policy: Policy) -> Enquiry:
    """The request, checked and normalised. Raises Refused (422) naming each field that cannot be right."""
    checked = check_contact(msgspec.to_builtins(request.contact), region=region)
    identifiers, problems = _identifiers(request.identifiers, region, policy)
    problems += [
        _problem(path, EXPECTED[path], "one that cannot be", "Ask for it again, or leave the field out.")
        for path in checked.invalid
    ]
    if not (identifiers or set(checked.values) - {"name"}):
        expected = "a phone, an email or a wechat, or else an identifier"
        problems.append(_problem("contact", expected, "none of them", "Nobody could be reached by this lead."))
    consent, unreadable = _consent(request.consent)
    if problems := problems + unreadable + _campaign_problems(request.campaign):
        raise _refused(problems)
    return Enquiry(
        source=request.source,
        external_id=request.external_id or None,
        contact=checked.values,
        identifiers=tuple(dict.fromkeys((*checked.identifiers, *identifiers))),
        doubtful=checked.doubtful,
        channel=request.channel or None,
        campaign=request.campaign,
        interest={name: value for name in INTEREST_FIELDS if (value := getattr(request.interest, name))},
        consent=consent,
    )


def _identifiers(
    given: list[GivenIdentifier], region: str, policy: Policy
) -> tuple[list[Identifier], list[dict[str, str]]]:
    found, problems = [], []
    for index, each in enumerate(given):
        value = normalise(each.kind, each.value, region=region)
        if each.kind not in policy.kinds:
            expected = "one of " + ", ".join(policy.kinds)
            problems.append(_problem(f"identifiers[{index}].kind", expected, each.kind, "Name the kind it is."))
        elif value is None or not can_be(each.kind, value):
            expected = f"a value that a {each.kind} can have"
            advice = "Correct it or leave it out."
            problems.append(_problem(f"identifiers[{index}].value", expected, "one that cannot be", advice))
        else:
            found.append(Identifier(each.kind, value))
    return found, problems


def _consent(consent: Consent) -> tuple[dict[str, Any], list[dict[str, str]]]:
    try:
        at = rfc3339(parse_rfc3339(consent.at))
    except (ValueError, OverflowError):
        expected = "a time with a zone such as 2026-11-22T03:10:39.879Z"
        return {}, [_problem("consent.at", expected, consent.at, "Send when the person agreed.")]
    return {"purposes": consent.purposes, "text_version": consent.text_version, "at": at}, []


def _campaign_problems(campaign: dict[str, Any]) -> list[dict[str, str]]:
    if len(msgspec.json.encode(campaign)) <= MAX_CAMPAIGN_BYTES:
        return []
    return [_problem("campaign", f"at most {MAX_CAMPAIGN_BYTES:,} bytes of JSON", "more", "Send less.")]


_SHAPE = re.compile(r"(?P<what>.*?)(?: - at `\$?\.?(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_EXPECTS = re.compile(r"Expected `(.*?)`(.*?)(?:, got `(.*)`)?")


def _problem_of(message: str) -> dict[str, str]:
    """msgspec's one sentence as path, expected, got and help."""
    found = _SHAPE.fullmatch(message)
    what, path = (found["what"], found["path"] or "") if found else (message, "")
    inside = f"{path}." if path else ""
    if unknown := _UNKNOWN.fullmatch(what):
        return _problem(inside + unknown[1], "no such field", "a value", "Take the field out; it would be lost.")
    if missing := _MISSING.fullmatch(what):
        return _problem(inside + missing[1], "a value", "none", "The field is required.")
    if expects := _EXPECTS.fullmatch(what):
        return _problem(path, expects[1] + expects[2], expects[3] or "another", "Send the field in this shape.")
    return _problem(path, "a value of the contract's shape", what, "Send the field in this shape.")


def _problem(path: str, expected: str, got: str, advice: str) -> dict[str, str]:
    return {"path": path, "expected": expected, "got": got, "help": advice}


def _refused(problems: list[dict[str, str]]) -> Refused:
    paths = ", ".join(problem["path"] or "the body" for problem in problems)
    return Refused(
        f"The lead was not taken because of {paths}. Correct what `errors` names and send it again.", problems
    )
