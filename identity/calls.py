"""The verbs of an identity as calls from one process to another: what each takes and gives, in MessagePack.

Identifiers are in them as the graph has them: of personal values there are tokens alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from cdp.model import Identifier, SetId
from cdp.vault import derive_key
from identity.changes import Changes
from identity.erase import Erased
from identity.observation import Observation, ObservationId
from identity.policy_file import load_policy
from identity.rebuild import Differences
from identity.verbs import Identity

PATH = "/identity/"
"""Of the calls; the verb follows."""
CONTENT_TYPE = "application/msgpack"

Reasons = dict[Identifier, str]


class Absorb(msgspec.Struct, array_like=True, frozen=True):
    sets: dict[SetId, tuple[Identifier, ...]]
    observations: list[Observation]
    blocked: Reasons


class Retract(msgspec.Struct, array_like=True, frozen=True):
    observations: dict[ObservationId, str]


class Block(msgspec.Struct, array_like=True, frozen=True):
    values: Reasons


class Forget(msgspec.Struct, array_like=True, frozen=True):
    erasing: Erased
    note: str


class Rebuild(msgspec.Struct, array_like=True, frozen=True):
    """`policy` as its file has it; '' for the one in force."""

    policy: str
    check: bool
    blocked: Reasons | None


class Verb(NamedTuple):
    """What a call takes, what it gives, and how it is done."""

    takes: type[Any]
    gives: Any
    do: Callable[[Identity, Any], Any]


def _rebuild(identity: Identity, call: Rebuild) -> Differences:
    policy = load_policy(call.policy) if call.policy else None
    return identity.rebuild(policy, check=call.check, blocked=call.blocked)


VERBS: Mapping[str, Verb] = {
    "absorb": Verb(Absorb, Changes, lambda to, call: to.absorb(call.sets, call.observations, blocked=call.blocked)),
    "retract": Verb(Retract, Changes, lambda to, call: to.retract(call.observations)),
    "block": Verb(Block, Changes, lambda to, call: to.block(call.values)),
    "forget": Verb(Forget, None, lambda to, call: to.forget(call.erasing, call.note)),
    "rebuild": Verb(Rebuild, Differences, _rebuild),
}


def key_of(secret: bytes) -> str:
    """What callers show, so that nobody else is answered; all processes of a deployment have it from its secret."""
    return derive_key(secret, "identity calls").hex()


def answer(identity: Identity, verb: str, body: bytes) -> bytes:
    """Do what a call asks for; its answer. Raises KeyError for no verb, DecodeError for what is no call of it, and
    what the verb raises."""
    takes, _, do = VERBS[verb]
    return msgspec.msgpack.encode(do(identity, msgspec.msgpack.decode(body, type=takes)))


def verb_of(call: msgspec.Struct) -> str:
    """Of a call, the name of its verb."""
    return type(call).__name__.lower()


def read(verb: str, body: bytes) -> Any:
    """An answer out of its bytes."""
    return msgspec.msgpack.decode(body, type=VERBS[verb].gives)
