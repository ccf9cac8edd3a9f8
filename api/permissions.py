"""Who may do what: one table from roles to permissions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """One thing that a key may do. The words stand in the sentence that refuses it."""

    READ_SOURCES = "read sources"
    MANAGE_SOURCES = "manage sources"
    READ_ACCOUNTING = "read accounting"
    READ_HITS = "read hits"
    READ_EVENTS = "read events"
    READ_PERSONS = "read persons"
    READ_LEADS = "read leads"
    WRITE_LEADS = "write leads"
    SEE_CLEAR = "see clear personal values"
    ERASE_PERSONS = "erase persons"
    EXPORT_PERSONS = "export persons"
    REPLAY = "replay hits"
    IMPORT = "import files"
    DRAW_CODES = "draw codes"
    DECIDE_IDENTITY = "decide identity"
    REBUILD_IDENTITY = "rebuild identity"
    READ_SEGMENTS = "read segments"
    MANAGE_SEGMENTS = "manage segments"
    MANAGE_KEYS = "manage keys"


class Role(StrEnum):
    ADMIN = "admin"
    DATA = "data"
    BUSINESS = "business"
    MARKETER = "marketer"
    SALES = "sales"
    DEVELOPER = "developer"
    TESTER = "tester"
    PRIVACY = "privacy"


_P = Permission

_TRACKING = frozenset({_P.READ_SOURCES, _P.READ_ACCOUNTING, _P.READ_HITS, _P.READ_EVENTS})
_PEOPLE = frozenset({_P.READ_EVENTS, _P.READ_PERSONS, _P.READ_LEADS, _P.READ_SEGMENTS})

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.DATA: _TRACKING
    | _PEOPLE
    | {_P.MANAGE_SOURCES, _P.REPLAY, _P.IMPORT, _P.DRAW_CODES, _P.DECIDE_IDENTITY, _P.MANAGE_SEGMENTS},
    Role.BUSINESS: _PEOPLE | {_P.READ_ACCOUNTING, _P.DRAW_CODES},
    Role.MARKETER: _PEOPLE | {_P.IMPORT, _P.DRAW_CODES, _P.MANAGE_SEGMENTS},
    Role.SALES: frozenset({_P.READ_PERSONS, _P.READ_LEADS, _P.READ_SEGMENTS, _P.WRITE_LEADS, _P.SEE_CLEAR}),
    Role.DEVELOPER: _TRACKING | {_P.WRITE_LEADS},
    Role.TESTER: _TRACKING,
    Role.PRIVACY: _PEOPLE
    | {_P.READ_ACCOUNTING, _P.READ_HITS, _P.SEE_CLEAR, _P.DECIDE_IDENTITY}
    | {_P.ERASE_PERSONS, _P.EXPORT_PERSONS},
}
"""Only those who call people and those who answer for privacy see clear values; a developer's server sends leads.
Who is who is decided by those who care for the data, and by those who must put right what a person objects to."""
