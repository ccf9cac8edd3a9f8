"""The policy as a TOML file: read with one clear sentence for whatever is wrong, written so that it reads back.

A file is the whole policy, not a change to the built-in one: what it leaves out of a kind is as `Kind` has it, and a
kind that it does not name is counted and never linked on. So what `cdp identity policy` prints can be edited and
given back, and two runs with the same file never depend on what this version has built in.
"""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from cdp.errors import ConfigurationError
from identity.kinds import BUILT_IN, Kind, Policy

STRONGEST = 9
MOST = 1_000_000_000
"""Of any number here; more is no limit that anybody meant."""
SHOWN = 60
"""Characters of a wrong value that a sentence repeats."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LITERAL = re.compile(r"[\t\x20-\x26\x28-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]*")
"""What TOML takes between single quotes as it is, patterns with their backslashes above all."""

HEADING = """\
# The whole policy: a kind that is not named here is counted and never linked on.
#
# max_cluster     identifiers of one person at most
# owner_strength  the least strength of proof (1 to 9) that makes somebody the owner of a phone or a device
#
# [kinds.NAME]    what is left out is 0, false or no limit
# priority        an event is its highest identifier's; what owns phones and devices is above them, and exclusive
# max_per_person  values of this kind that one person has at most
# exclusive       two values in one observation contradict each other
# limit_per       both hold for each part of the value before this sign, such as the appid of an openid
# changes_hands   the value may get another owner, who first proves it more than gap_days after the last proof
# fan_out         seen with more different values of that kind, a value is a hub and links nobody
# evidence_only   counted, never linked on
# blocked         normalised values that never link, or /patterns/ searched in them
"""


# Reading


def load_policy(source: str | Path) -> Policy:
    """The policy of a file (a Path), or of its text (a str). Raises ConfigurationError."""
    where = source.name if isinstance(source, Path) else "policy"
    try:
        text = source.read_bytes().decode("utf-8-sig") if isinstance(source, Path) else source
        table = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(
            str(source), came=f"not readable ({error.strerror})", allowed="a policy in TOML"
        ) from None
    except RecursionError:
        raise ConfigurationError(where, came="nested too deeply", allowed="a policy in TOML") from None
    except ValueError as error:  # no UTF-8, no TOML, or a number of thousands of digits
        raise ConfigurationError(where, came=f"no TOML ({error})", allowed="a policy in TOML") from None
    return policy_of(table, where=where)


def policy_of(table: Mapping[str, Any], *, where: str = "policy") -> Policy:
    """The policy that a decoded file states. Raises ConfigurationError: which key, what came, what is allowed."""
    _known(table, ["max_cluster", "owner_strength", "kinds"], where)
    kinds = table.get("kinds")
    if not isinstance(kinds, Mapping) or not kinds:
        raise _wrong(f"{where}: kinds", kinds, "at least one table [kinds.NAME]")
    policy = Policy(
        kinds={name: _kind(rules, f"{where}: kinds.{_key(name)}") for name, rules in kinds.items()},
        max_cluster=_whole(1)(table.get("max_cluster", Policy.max_cluster), f"{where}: max_cluster"),
        owner_strength=_whole(1, STRONGEST)(
            table.get("owner_strength", Policy.owner_strength), f"{where}: owner_strength"
        ),
    )
    for name, kind in policy.kinds.items():
        for other in kind.fan_out:
            if other not in {*kinds, *BUILT_IN.kinds}:
                # Most likely a slip; the limit would never be met, and nobody would see why.
                raise ConfigurationError(
                    f"{where}: kinds.{_key(name)}.fan_out.{_key(other)}",
                    came="of a kind that nobody knows",
                    allowed=f"one of {', '.join({**kinds, **BUILT_IN.kinds})}",
                )
    return policy


Read = Callable[[Any, str], Any]
"""Checks a value; the str says where it stands."""


def _kind(rules: Any, where: str) -> Kind:
    if not isinstance(rules, Mapping):
        raise _wrong(where, rules, "a table with the rules of the kind")
    _known(rules, list(_FIELDS), where)
    return Kind(**{name: _FIELDS[name](value, f"{where}.{name}") for name, value in rules.items()})


def _whole(least: int, most: int = MOST) -> Read:
    def read(value: Any, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(where, value, f"a whole number from {least} to {most:,}")
        return value

    return read


def _yes_or_no(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, value, "true or false")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, value, "a text")
    return value


def _fan_out(value: Any, where: str) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise _wrong(where, value, "a table such as { member_id = 3 }")
    return {kind: _whole(0)(most, f"{where}.{_key(kind)}") for kind, most in value.items()}


def _blocked(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(where, value, "a list of values or /patterns/")
    return tuple(_rule(each, f"{where}[{number}]") for number, each in enumerate(value))


def _rule(value: Any, where: str) -> str:
    rule = _text(value, where)
    if len(rule) > 2 and rule[0] == rule[-1] == "/":
        try:
            with warnings.catch_warnings():
                # What the next Python may read otherwise is refused now.
                warnings.simplefilter("error")
                re.compile(rule[1:-1])
        except (re.error, OverflowError, RecursionError, Warning) as error:
            raise ConfigurationError(
                where, came=f"{_shown(rule)} ({error})", allowed="a value, or a regular expression between slashes"
            ) from None
    return rule


_FIELDS: Mapping[str, Read] = {
    "priority": _whole(0),
    "max_per_person": _whole(1),
    "exclusive": _yes_or_no,
    "changes_hands": _yes_or_no,
    "gap_days": _whole(0),
    "fan_out": _fan_out,
    "evidence_only": _yes_or_no,
    "blocked": _blocked,
    "limit_per": _text,
}


def _known(table: Mapping[str, Any], names: list[str], where: str) -> None:
    for name in table:
        if name not in names:
            raise ConfigurationError(f"{where}: {_key(name)}", came="set", allowed=", ".join(names))


def _wrong(where: str, value: Any, allowed: str) -> ConfigurationError:
    return ConfigurationError(where, came="missing" if value is None else _shown(value), allowed=allowed)


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


# Writing


def dump_policy(policy: Policy, *, heading: str = HEADING) -> str:
    """The policy as TOML, which loads back to an equal one."""
    lines = [heading, f"max_cluster = {policy.max_cluster}", f"owner_strength = {policy.owner_strength}"]
    for name, rules in as_table(policy)["kinds"].items():
        lines += ["", f"[kinds.{_key(name)}]", *(f"{key} = {_toml(value)}" for key, value in rules.items())]
    return "\n".join(lines).lstrip() + "\n"


def as_table(policy: Policy) -> dict[str, Any]:
    """The policy as its file states it, decoded: of each kind what is not as `Kind` has it."""
    return {
        "max_cluster": policy.max_cluster,
        "owner_strength": policy.owner_strength,
        "kinds": {name: _stated(kind) for name, kind in policy.kinds.items()},
    }


def _stated(kind: Kind) -> dict[str, Any]:
    stated = {}
    for each in fields(kind):
        value = getattr(kind, each.name)
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        if value != default:
            stated[each.name] = value if isinstance(value, int | str) else _plain(value)
    return stated


def _plain(value: Mapping[str, int] | Sequence[str]) -> dict[str, int] | list[str]:
    return dict(value) if isinstance(value, Mapping) else list(value)


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return f"'{value}'" if _LITERAL.fullmatch(value) else _quoted(value)
        case Mapping():
            return f"{{ {', '.join(f'{_key(key)} = {_toml(each)}' for key, each in value.items())} }}"
        case _:
            return "".join(["[", *(f"\n  {_toml(each)}," for each in value), "\n]" if value else "]"])


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL and for what JSON writes as two surrogates."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
