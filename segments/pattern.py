"""Regular expressions that the event store's engine (RE2) takes, in the part of its syntax that is safe to run.

One that the engine refuses would fail the whole query it is part of, so it is refused here: look-around and
back-references, which RE2 lacks, and counted repeats that multiply beyond what the engine has room for.
"""

from __future__ import annotations

import re

MAX_COST = 1_000
"""How many atoms a pattern may have once its counted repeats are written out; RE2 itself takes 1,000 repeats."""

_SCRIPTS = "Han|Latin|Cyrillic|Greek|Hiragana|Katakana|Hangul|L|Lu|Ll|Lo|N|Nd|P|S|Z|M"
_SIGN = r"[ !-/:-@\[-^`{-~]"
_TOKEN = re.compile(
    rf"""
      (?P<open>\((?:\?:|\?[ims]+:|(?!\?)))
    | (?P<flags>\(\?[ims]+\))
    | (?P<close>\))
    | (?P<either>\|)
    | (?P<repeat>(?:[*+?]|\{{(?P<low>[0-9]{{1,4}})(?P<comma>,(?P<high>[0-9]{{0,4}}))?\}})\??)
    | (?P<anchor>\^|\$|\\[bBAz])
    | (?P<set>\[\^?+(?:\\[dDwWsStnr]|\\{_SIGN}|[^\]\\\[])+\])
    | (?P<script>\\[pP](?:\{{(?:{_SCRIPTS})\}}|[LNPSZM]))
    | (?P<atom>\\[dDwWsStnrfva]|\\{_SIGN}|\\x[0-9A-Fa-f]{{2}}|[^\\*+?{{}}()\[\]|^$])
    """,
    re.VERBOSE | re.DOTALL,
)
_ITEM = re.compile(r"(\\.|[^\\])(?:-(\\.|[^\\]))?", re.DOTALL)
_LACKING = (
    (re.compile(r"\(\?<?[=!]"), "look-around, which the engine lacks"),
    (re.compile(r"\\[1-9]|\(\?P=|\\[gk]<"), "back-references, which the engine lacks"),
    (re.compile(r"\(\?P?<"), "named groups, which are of no use here"),
)


def fault_of(pattern: str) -> str | None:
    """What is wrong with the pattern, as half a sentence; None where it may be run."""
    costs = [0]
    last = at = 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            return _unknown(pattern, at)
        text, start, at = token.group(), at, token.end()
        if token["open"]:
            costs.append(0)
        elif token["close"]:
            if len(costs) == 1:
                return f"a bracket that closes nothing at character {start + 1}"
            last = max(costs.pop(), 1)
            costs[-1] += last
            continue
        elif token["repeat"]:
            low, high = int(token["low"] or 0), int(token["high"] or token["low"] or 1)
            if not last or low > high:
                return f"nothing that can be repeated before {text} at character {start + 1}"
            costs[-1] += last * (max(high, 1) - 1)
        elif token["set"] and _backwards(text):
            return f"a range that runs backwards in {text}"
        last = _cost(token)
        costs[-1] += last
        if max(costs) > MAX_COST:
            return f"repeats that come to more than {MAX_COST:,} characters to match"
    return "a bracket that is not closed" if len(costs) > 1 else None


def _cost(token: re.Match[str]) -> int:
    """Of what can be repeated; 0 for what cannot."""
    if token["set"]:
        return 1 + len(token["set"]) // 4
    return 50 if token["script"] else 1 if token["atom"] else 0


def _backwards(text: str) -> bool:
    inner = text[1:-1].removeprefix("^")
    ends = [(low, high) for low, high in _ITEM.findall(inner) if high]
    return any(low[-1] > high[-1] or _is_class(low) or _is_class(high) for low, high in ends)


def _is_class(item: str) -> bool:
    return len(item) == 2 and item[1].isalpha()


def _unknown(pattern: str, at: int) -> str:
    for lacking, what in _LACKING:
        found = lacking.match(pattern, at)
        if found:
            return what
    return (
        f"{pattern[at : at + 2]!r} at character {at + 1}, which cannot be read there (a plain one takes a \\ before it)"
    )
