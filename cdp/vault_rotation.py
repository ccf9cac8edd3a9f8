"""Seal the whole vault with the present key, so that the former ones can be thrown away.

Runs beside everything else and may be stopped at any moment: what is sealed with the present key is left alone, and a
value that was erased in the meantime stays away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from sqlalchemy import Engine, bindparam, select, update

from cdp.records import reading, run_rows, writing
from cdp.vault import Cipher, vault_rows

PAGE_ROWS = 1_000
"""Sealed in one transaction, in a few hundredths of a second: batches wait for it."""

_PAGE = (
    select(vault_rows.c.token, vault_rows.c.sealed)
    .where(vault_rows.c.token > bindparam("after"))
    .order_by(vault_rows.c.token)
    .limit(PAGE_ROWS)
)
_RESEAL = (
    update(vault_rows)
    .where(vault_rows.c.token == bindparam("of"), vault_rows.c.sealed == bindparam("former"))
    .values(sealed=bindparam("fresh"))
)


@dataclass(slots=True)
class Rotation:
    """How many values were looked at, were sealed anew (or, at a check, need to be), and can be opened by no key."""

    looked: int = 0
    old: int = 0
    lost: int = 0


def rotate(
    engine: Engine, cipher: Cipher, *, check: bool = False, progress: Callable[[int], None] = lambda looked: None
) -> Rotation:
    """Seal anew whatever an older key of `cipher` sealed; with `check` only count. What no key opens is left as it is.

    Each page is one durable transaction. Raises StoreUnavailable; calling it again goes on.
    """
    done, after = Rotation(), ""
    while page := _page(engine, after):
        after = page[-1][0]
        fresh = [row for token, sealed in page if (row := _resealed(cipher, token, sealed, done))]
        if fresh and not check:
            with writing(engine) as connection:
                run_rows(connection, _RESEAL, fresh)
        done.looked += len(page)
        progress(done.looked)
    return done


def _page(engine: Engine, after: str) -> Sequence[tuple[str, bytes]]:
    with reading(engine) as connection:
        return [(token, bytes(sealed)) for token, sealed in connection.execute(_PAGE, {"after": after})]


def _resealed(cipher: Cipher, token: str, sealed: bytes, done: Rotation) -> dict[str, str | bytes] | None:
    """What `_RESEAL` needs for a value of an older key; None for any other."""
    if cipher.is_current(sealed):
        return None
    try:
        clear = cipher.open(sealed)
    except InvalidTag:
        done.lost += 1
        return None
    done.old += 1
    return {"of": token, "former": sealed, "fresh": cipher.seal(clear)}
