"""The policy in force: where it comes from, and what becomes of the graph when it is another than before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import structlog

from cdp.errors import ConfigurationError
from cdp.model import PERSONAL_KINDS, Identifier
from cdp.scrub import fill_markers, markers_in
from cdp.vault import Vault
from identity.graph import Graph
from identity.kinds import BUILT_IN, PLACEHOLDER, PLACEHOLDER_FORM, Policy
from identity.policy_file import load_policy
from identity.resolve import State
from identity.verbs import Identity

log = structlog.get_logger()


def policy_in_force(path: Path | None) -> Policy:
    """The policy of XUNJI_POLICY, else the built-in one. Raises ConfigurationError."""
    if path is None:
        return BUILT_IN
    try:
        return load_policy(path)
    except ConfigurationError as error:
        came = f"{str(path)!r}, where {error.setting} is {error.came}"
        raise ConfigurationError("XUNJI_POLICY", came=came, allowed=error.allowed) from None


def put_in_force(identity: Identity, vault: Vault) -> None:
    """Where the stored conclusions follow another policy than the engine's, derive them again from the evidence.

    Durable on return; call it before anything is taken in.
    """
    policy = identity.policy
    if identity.graph.policy() == policy.name:
        return
    began = time.monotonic()
    changed = identity.rebuild(blocked=blocked_by(policy, identity.graph, vault))
    log.info(
        "policy_put_in_force",
        policy=policy.name,
        values=changed.values,
        pairs=changed.pairs,
        refusals=changed.refusals,
        seconds=round(time.monotonic() - began, 1),
    )


def blocked_by(policy: Policy, graph: Graph, vault: Vault) -> dict[Identifier, str]:
    """The values that must not link under this policy and that it cannot know by themselves, with the reason.

    Rules speak of clear values, while the graph has tokens: so the vault is asked. What was blocked for a reason of
    its own, whatever the policy, stays so.
    """
    kept: dict[Identifier, str] = {}
    marked: list[Identifier] = []
    for each in graph.every_value():
        if each.state is State.BLOCKED and each.reason not in (PLACEHOLDER, PLACEHOLDER_FORM):
            kept[each.identifier] = each.reason
        elif each.identifier.kind not in PERSONAL_KINDS and markers_in(each.identifier.value):
            marked.append(each.identifier)
    clear = chain(vault.scan(), _filled(marked, vault))
    return {value: reason for value, as_met in clear if (reason := policy.blocked(value.kind, as_met))} | kept


def _filled(marked: Iterable[Identifier], vault: Vault) -> Iterator[tuple[Identifier, str]]:
    """Identifiers in which somebody put a phone number or the like, as they were before."""
    for each in marked:
        clear = vault.reveal([token for _, token in markers_in(each.value)])
        yield each, fill_markers(each.value, lambda _, token, clear=clear: clear.get(token, ""))  # type: ignore[misc]
