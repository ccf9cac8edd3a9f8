"""A person in one look is what the single questions say."""

from __future__ import annotations

from cdp.model import PersonId
from identity.engine import IdentityEngine
from identity.observation import pid, set_id
from tests.identity.makers import identifier, make_observation

OPENID, WEB, PHONE, CITY = (
    identifier(text) for text in ("wx_openid:wx1/oLi", "anonymous_id:web-9", "phone:token-li", "city:suzhou")
)


def assert_whole(engine: IdentityEngine, person: PersonId) -> None:
    whole = engine.whole(person)
    assert whole is not None
    assert whole.id == engine.current(person)
    known = engine.identifiers_of(person)
    assert [each[:4] for each in whole.values] == [(k.identifier, k.owner, k.first_seen, k.last_seen) for k in known]
    members = engine.members_of_sets(engine.sets_of(person))
    assert whole.sets == {each: tuple(member.identifier for member in found) for each, found in members.items()}
    assert whole.windows == {}


def test_one_look_says_what_the_single_questions_say(engine: IdentityEngine) -> None:
    visit, with_city = (OPENID,), (CITY, WEB)
    engine.absorb({set_id(visit): visit, set_id(with_city): with_city}, [])
    for each in (OPENID, WEB):
        assert_whole(engine, pid(each))
        assert engine.whole_of(each) == engine.whole(pid(each))
    before = {engine.person_of(OPENID), engine.person_of(WEB)}
    assert len(before) == 2
    engine.observe([make_observation("anonymous_id:web-9", "wx_openid:wx1/oLi", day=1)])
    engine.observe([make_observation("anonymous_id:web-9", "phone:token-li", strength=2, day=20)])
    for each in (OPENID, WEB, PHONE):
        assert_whole(engine, pid(each))


def test_nobody_is_none(engine: IdentityEngine) -> None:
    engine.absorb({set_id((CITY,)): (CITY,)}, [])
    assert engine.whole_of(PHONE) is None
    assert engine.whole_of(CITY) is None
