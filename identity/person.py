"""A person in one look, as readers of trails and profiles need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cdp.model import Identifier, PersonId, SetId, Window
from identity.graph import SeenValue, SetMember


class Person(NamedTuple):
    """A person in one look: its id now, its nodes oldest-born first, and the sets whose events are its, with their
    members. `windows` limits those sets to stretches of event time that were not always its; `shared` tells more of the
    members of those of its sets that hold something which goes round among people, such as a tablet of a showroom."""

    id: PersonId
    values: list[SeenValue]
    sets: dict[SetId, tuple[Identifier, ...]]
    windows: dict[SetId, list[Window]]
    shared: Mapping[SetId, Sequence[SetMember]] = {}
