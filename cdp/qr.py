"""QR codes of campaigns: an address with its campaign in it, drawn as an image.

Whoever scans the code comes to the page with `utm_` parameters, which every SDK and form of ours reads; so the lead
that follows says from which stand it came. Nothing of a person belongs into a code that hangs on a wall.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import segno

from cdp.errors import Refused
from cdp.scrub import scrub_text

MEDIUM = "qr"
MAX_URL = 2_000
"""Characters; a code of more is a grey square to a phone at two metres."""
MAX_CODES = 500
MAX_SCALE = 100
SCALE = 10
"""Pixels of one module in a PNG; a usual code is some 500 pixels wide then."""
QUIET_ZONE = 4
"""Modules of white around a code, without which scanners do not find it."""

_PARAMETERS = {
    "source": "utm_source",
    "medium": "utm_medium",
    "name": "utm_campaign",
    "term": "utm_term",
    "content": "utm_content",
}
_NOT_IN_FILE_NAMES = re.compile(r"[^\w.\-]+")


class Format(StrEnum):
    PNG = "png"
    SVG = "svg"

    @property
    def media_type(self) -> str:
        return "image/png" if self is Format.PNG else "image/svg+xml"


class Code(NamedTuple):
    """One code: the address in it, and `content`, which tells it from its neighbours."""

    content: str
    url: str

    def image(self, format_: Format = Format.PNG, *, scale: int = SCALE) -> bytes:
        drawn = io.BytesIO()
        self._drawn().save(drawn, kind=format_.value, scale=scale, border=QUIET_ZONE, dark="black", light="white")
        return drawn.getvalue()

    def text(self) -> str:
        """The code for a terminal."""
        drawn = io.StringIO()
        self._drawn().terminal(drawn, border=QUIET_ZONE, compact=True)
        return drawn.getvalue()

    def file_name(self, campaign: str, format_: Format) -> str:
        parts = (_NOT_IN_FILE_NAMES.sub("-", each).strip("-.") for each in (campaign, self.content) if each)
        return f"{'-'.join(filter(None, parts)) or 'qr'}.{format_.value}"

    def _drawn(self) -> segno.QRCode:
        # A quarter of the code may be dirty or torn.
        return segno.make(self.url, error="q", boost_error=False, micro=False)


def codes_of(url: str, campaign: Mapping[str, str], *, each: Sequence[str] = ()) -> list[Code]:
    """A code of this page, or one for `each` value of `content`.

    `campaign` has source, medium ('qr' where none is given), name, term and content. Raises Refused.
    """
    if len(each) > MAX_CODES:
        raise Refused(f"At most {MAX_CODES} codes are made at once, {len(each)} were asked for. Make them in parts.")
    if len(set(each)) < len(each):
        raise Refused("Two codes have the same content, so nobody could tell them apart. Name each once.")
    if "" in each:
        raise Refused("One of the codes has no content. Take the empty one out.")
    return [_code(url, {**campaign, "content": content}) for content in each or [campaign.get("content", "")]]


def _code(url: str, campaign: Mapping[str, str]) -> Code:
    made = tagged_url(url, campaign)
    if len(made) > MAX_URL:
        raise Refused(f"The address has {len(made):,} characters with its campaign; at most {MAX_URL:,} are readable.")
    return Code(campaign.get("content", ""), made)


def tagged_url(url: str, campaign: Mapping[str, str]) -> str:
    """The address with the campaign in its query; what it had besides stays, its fragment too. Raises Refused."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise Refused("A code leads to a page: an address that begins with https:// or http://, without a password.")
    said = {parameter: campaign.get(field, "").strip() for field, parameter in _PARAMETERS.items()}
    said["utm_medium"] = said["utm_medium"] or MEDIUM
    new = {parameter: value for parameter, value in said.items() if value}
    if _is_personal(" ".join((url, *new.values()))):
        raise Refused(
            "The address or its campaign holds what looks like a phone number, an e-mail address, an ID number or a "
            "VIN. Everybody who scans the code would carry it; take it out."
        )
    # Pair by pair, for what the page reads must come as it was written.
    kept = [pair for pair in parts.query.split("&") if pair and _name_of(pair) not in new]
    return parts._replace(query="&".join((*kept, urlencode(new)))).geturl()


def _name_of(pair: str) -> str:
    return next((name for name, _ in parse_qsl(pair, keep_blank_values=True)), "")


def _is_personal(text: str) -> bool:
    found: list[str] = []

    def note(kind: str, _value: str) -> None:
        found.append(kind)

    scrub_text(text, note)
    return bool(found)


def zip_of(codes: Sequence[Code], campaign: str, format_: Format, *, scale: int = SCALE) -> bytes:
    """All images in one file, each named for its content."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as folder:
        for name, code in named(codes, campaign, format_).items():
            folder.writestr(name, code.image(format_, scale=scale))
    return packed.getvalue()


def named(codes: Sequence[Code], campaign: str, format_: Format) -> dict[str, Code]:
    """Codes by file name. Raises Refused where two names are one."""
    files = {code.file_name(campaign, format_): code for code in codes}
    if len(files) < len(codes):
        raise Refused("Two codes would have one file name, as letters that no file takes are left out. Rename one.")
    return files
