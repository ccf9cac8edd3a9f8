"""The policy in force: read from a file, and put in force on the evidence that is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cdp.errors import ConfigurationError
from cdp.migrations import migrate
from cdp.model import Identifier
from cdp.policy import blocked_by, policy_in_force, put_in_force
from cdp.records import open_engine, writing
from cdp.scrub import marker
from cdp.vault import Vault
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph
from identity.kinds import BUILT_IN, Policy
from identity.observation import Observation, observation_id
from identity.policy_file import as_table, dump_policy, policy_of

PHONE = "+8613700010002"
WEB, APP = Identifier("anonymous_id", "web"), Identifier("anonymous_id", "app")

Opened = Callable[[Policy], IdentityEngine]


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/records.db")
    migrate(engine, "records")
    yield engine
    engine.dispose()


@pytest.fixture
def vault(records: Engine) -> Vault:
    vault = Vault(records, bytes(32))
    with writing(records) as connection:
        vault.remember(connection, {vault.token("phone", PHONE): Identifier("phone", PHONE)}, at=0)
    return vault


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    engine = open_engine(f"sqlite:///{tmp_path}/graph.db")
    migrate(engine, "graph")
    yield lambda policy: IdentityEngine(SqlGraph(engine), policy)
    engine.dispose()


def met(*identifiers: Identifier) -> Observation:
    return Observation(observation_id(repr(identifiers)), identifiers, 2, 0, "site")


def blocking(kind: str, *rules: str) -> Policy:
    table = as_table(BUILT_IN)
    table["kinds"][kind] = {**table["kinds"][kind], "blocked": [*rules]}
    return policy_of(table)


def test_without_a_setting_the_built_in_policy_is_in_force(tmp_path: Path) -> None:
    assert policy_in_force(None) is BUILT_IN
    (tmp_path / "policy.toml").write_text(dump_policy(BUILT_IN))
    assert policy_in_force(tmp_path / "policy.toml").name == BUILT_IN.name


@pytest.mark.parametrize("text", ["", "kinds = 1", "[kinds.phone]\ncolour = 1", "[kinds"])
def test_a_file_that_is_no_policy_names_the_setting(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"^XUNJI_POLICY is .*policy\.toml"):
        policy_in_force(file)
    with pytest.raises(ConfigurationError, match=r"^XUNJI_POLICY is "):
        policy_in_force(tmp_path / "none.toml")


def test_another_policy_is_put_in_force_once_and_by_clear_values(opened: Opened, vault: Vault) -> None:
    phone = Identifier("phone", vault.token("phone", PHONE))
    before = opened(BUILT_IN)
    put_in_force(before, vault)
    before.observe([met(WEB, phone), met(APP, phone)])
    assert before.person_of(WEB) == before.person_of(APP)

    policy = blocking("phone", r"/^\+86137/")
    after = opened(policy)
    put_in_force(after, vault)
    assert after.person_of(WEB) != after.person_of(APP)
    assert after.graph.policy() == policy.name
    version = after.version
    put_in_force(after, vault)
    assert after.version == version

    back = opened(BUILT_IN)
    put_in_force(back, vault)
    assert back.person_of(WEB) == back.person_of(APP)


def test_a_value_with_a_phone_in_it_is_judged_as_it_was(opened: Opened, vault: Vault) -> None:
    member = Identifier("member_id", marker("phone", vault.token("phone", PHONE)))
    engine = opened(BUILT_IN)
    engine.observe([met(WEB, member)])
    assert set(blocked_by(blocking("member_id", r"/^\+86/"), engine.graph, vault)) == {member}


def test_what_was_blocked_for_a_reason_of_its_own_stays_so(opened: Opened, vault: Vault) -> None:
    engine = opened(BUILT_IN)
    engine.observe([met(WEB, Identifier("member_id", "m1")), met(APP, Identifier("member_id", "m2"))])
    engine.block({WEB: "a test browser"})
    person = engine.person_of(APP)
    assert person is not None
    engine.erase(person, "asked for")
    after = opened(blocking("phone", PHONE))
    put_in_force(after, vault)
    standing = after.standing_of(WEB)
    assert standing is not None
    assert standing.reason == "a test browser"
    assert not after.rebuild(check=True)
    assert after.person_of(APP) is None
