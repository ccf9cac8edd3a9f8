"""What a browser without script sees after it sent a form: a page of thanks, one that says what to correct, or the
page that the form names, where that is one of its own.

Both languages stand on each page, the reader's first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from html import escape
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from cdp.errors import Rejected, TooManyRequests
from collectors.dialect import Answer, Request
from collectors.form_fields import looks_like_json
from leads.request import EXPECTED

HTML = "text/html; charset=utf-8"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_UNSAFE = re.compile(r"[\s\\\x00-\x1f\x7f]")
"""Browsers skip some of these and take others for a slash, so that what looks like a path leads away."""
LONGEST_REDIRECT = 2_000

_STYLE = (
    "body{font:16px/1.6 system-ui,sans-serif;margin:0;display:grid;place-items:center;min-height:100vh;"
    "color:#1f2328;background:#f6f8fa}main{max-width:28rem;margin:1rem;padding:1.5rem 2rem;background:#fff;"
    "border-radius:12px}h1{font-size:1.25rem}h2,.second{font-size:.9rem;font-weight:400;color:#59636e}"
)


class Problem(StrEnum):
    """What is wrong with a form, by the field's path; in the words of a person who is asked to correct it."""

    NO_CONTACT = "contact"
    PHONE = "contact.phone"
    EMAIL = "contact.email"

    @property
    def zh(self) -> str:
        return _WORDS[self][0]

    @property
    def en(self) -> str:
        return _WORDS[self][1]

    @property
    def expected(self) -> str:
        return EXPECTED.get(self.value, "a phone number, an e-mail address or a WeChat id")


_WORDS = {
    Problem.NO_CONTACT: (
        "请填写手机号、邮箱或微信号中的一项。",
        "Please leave a phone number, an e-mail address or a WeChat id.",
    ),
    Problem.PHONE: ("手机号有误，请返回检查。", "This phone number cannot be right. Please go back and check it."),
    Problem.EMAIL: ("邮箱有误，请返回检查。", "This e-mail address cannot be right. Please go back and check it."),
}
_THANKS = ("提交成功，谢谢！", "Thank you, we have received it."), ("我们会尽快与您联系。", "We will be in touch soon.")
_BACK = "返回网站", "Back to the site"
_NOT_TAKEN = "没有提交成功", "This was not sent"
_WAIT = "提交过于频繁，请稍后再试。", "Too many submissions came from here. Please try again in a while."
_OTHERWISE = "表单暂时无法提交，请联系网站。", "The form cannot be sent. Please tell the site's owner."


def wants_page(request: Request) -> bool:
    """Whether a person looks at the answer: a browser that sends a form says so, a script that sends JSON does not."""
    return "text/html" in request.headers.get("accept", "") and not looks_like_json(request.body)


def thanks_page(headers: Mapping[str, str], back: str) -> Answer:
    """`back` is the page that the reader came from, '' where it is not known."""
    return _page(200, headers, *_THANKS, back=back)


def refusal_page(headers: Mapping[str, str], error: Rejected) -> Answer:
    """What to correct, in the reader's words; the browser's way back keeps what was typed."""
    named = [Problem(each["path"]) for each in error.errors if each.get("path") in set(Problem)]
    sentences = [(problem.zh, problem.en) for problem in named]
    more = {}
    if isinstance(error, TooManyRequests):
        sentences = [_WAIT]
        more = {"Retry-After": str(error.retry_after_s)}
    return _page(error.status, headers, _NOT_TAKEN, *(sentences or [_OTHERWISE]), more=more)


def _page(
    status: int,
    headers: Mapping[str, str],
    title: tuple[str, str],
    *sentences: tuple[str, str],
    more: Mapping[str, str] | None = None,
    back: str = "",
) -> Answer:
    first, second = (0, 1) if _reads_chinese(headers.get("accept-language", "")) else (1, 0)
    languages = ("zh-CN", "en")
    paragraphs = "".join(
        f'<p>{escape(each[first])}</p><p class="second" lang="{languages[second]}">{escape(each[second])}</p>'
        for each in sentences
    )
    link = f'<p><a href="{escape(back)}">← {_BACK[first]} {_BACK[second]}</a></p>' if back else ""
    body = (
        f'<!doctype html><html lang="{languages[first]}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title[first])}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{escape(title[first])}</h1><h2 lang="{languages[second]}">{escape(title[second])}</h2>'
        f"{paragraphs}{link}</main></body></html>"
    )
    return Answer(status, body.encode(), HTML, {**_HEADERS, **(more or {})})


def _reads_chinese(accept_language: str) -> bool:
    """Whether Chinese stands before English; a form of a Chinese site is read by Chinese where nothing is said."""
    languages = [each.strip()[:2].lower() for each in accept_language.split(",")]
    return next((each for each in languages if each in ("zh", "en")), "zh") == "zh"


def safe_redirect(wanted: str, headers: Mapping[str, str], page: str, origins: Sequence[str]) -> str:
    """The address to go on to, '' where none is wanted or it is of another site than the page or the source's.

    A path counts from the page. Anything else would let a stranger's link lead from our name to his.
    """
    if not wanted or len(wanted) > LONGEST_REDIRECT or _UNSAFE.search(wanted):
        return ""
    came_from = headers.get("referer", "")
    home = _origin(_split(headers.get("origin", ""))) or _origin(_split(came_from))
    # Browsers often tell the origin alone: then the page's own word for its address completes a path.
    base = page if home and _origin(_split(page)) == home else came_from
    try:
        target = urlsplit(urljoin(base, wanted))
    except ValueError:
        return ""
    origin = _origin(target)
    if not origin or "@" in target.netloc or origin not in {home, *origins}:
        return ""
    return quote(target.geturl(), safe="%/:=&?~#+!$,;'@()*[]")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _origin(url: SplitResult) -> str:
    """As browsers write it: https://www.example.com. '' for what is no page of the web."""
    if url.scheme not in ("http", "https") or not url.netloc:
        return ""
    return f"{url.scheme}://{url.netloc.lower()}"
