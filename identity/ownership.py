"""Decide whose a value was, and when: phones are sold again, handsets change hands, tablets are shared.

Whoever proves a value (signs in on the device, proves the phone) owns it for the span from the first to the last of
these proofs. Owners that follow one another cut the value into epochs, each a node of its own in the graph; owners
at the same time make it `shared`, and it links nobody.

Only observations that mention the value are asked, so that no cluster and no arrival order can enter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cdp.model import DAY_MS, Identifier, Millis
from identity.kinds import Policy


class Claim(NamedTuple):
    """One owner's proofs of one value: the best strength among them, and the times of the first and the last."""

    strength: int
    first: Millis
    last: Millis

    def with_(self, other: Claim) -> Claim:
        """Both together; no order or repeat matters."""
        return Claim(max(self.strength, other.strength), min(self.first, other.first), max(self.last, other.last))


class Epoch(NamedTuple):
    """From `start` on the value is its next owner's, named by the anchor that proved it."""

    start: Millis
    owner: str


Claims = Mapping[str, Claim]
"""Claims on one value, by the `label` of the anchor that made them."""


def label(anchor: Identifier) -> str:
    return f"{anchor.kind}:{anchor.value}"


def anchor_of(met: Iterable[Identifier], policy: Policy) -> Identifier | None:
    """Who speaks in an observation: its member, or where there is none its next best exclusive identifier."""
    anchors = [each for each in met if policy.anchors(each.kind)]
    return min(anchors, key=lambda each: (-policy.kind(each.kind).priority, each)) if anchors else None


def timeline(kind: str, claims: Claims, policy: Policy) -> tuple[Epoch, ...] | str:
    """The epochs after the first one, oldest first; or the reason why the value is shared.

    A claim that overlaps a better proved one of the same kind (a member beside a member) is no ownership: whoever
    types somebody else's number into an app with a public key neither gets it nor takes it away. Claims of different
    kinds may be one person's and share an epoch where they overlap. Nearer than `gap_days` counts as overlapping.
    """
    if len(claims) < 2:
        return ()
    gap = policy.kind(kind).gap_days * DAY_MS
    owners: dict[str, Claim] = {}
    for name, claim in sorted(claims.items(), key=lambda each: (-each[1].strength, each[1].first, each[0])):
        rivals = [each for other, each in owners.items() if _one_of(other, name, policy) and _overlap(each, claim, gap)]
        if any(each.strength == claim.strength for each in rivals):
            return f"owned by more than one {name.partition(':')[0]} at the same time"
        if not rivals:
            owners[name] = claim
    epochs: list[Epoch] = []
    until: Millis | None = None
    for name, claim in sorted(owners.items(), key=lambda each: (each[1].first, each[0])):
        if until is not None and claim.first > until + gap:
            epochs.append(Epoch(claim.first, name))
        until = claim.last if until is None else max(until, claim.last)
    return tuple(epochs)


def _one_of(a: str, b: str, policy: Policy) -> bool:
    """Whether these anchors are of a kind of which a person has one, so that they are two persons."""
    return policy.group(*_parts(a)) == policy.group(*_parts(b))


def _parts(name: str) -> tuple[str, str]:
    kind, _, value = name.partition(":")
    return kind, value


def _overlap(one: Claim, other: Claim, gap: Millis) -> bool:
    return one.first <= other.last + gap and other.first <= one.last + gap
