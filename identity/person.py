"""A person in one look, as readers of trails and profiles need it."""

from __future__ import annotations

from typing import NamedTuple

from cdp.model import Identifier, PersonId, SetId
from identity.attribution import Window
from identity.graph import SeenValue


class Person(NamedTuple):
    """A person in one look: its id now, its nodes oldest-born first, and the sets whose events are its, with their
    members. `windows` limits those sets to stretches of event time that were not always its."""

    id: PersonId
    values: list[SeenValue]
    sets: dict[SetId, tuple[Identifier, ...]]
    windows: dict[SetId, list[Window]]
