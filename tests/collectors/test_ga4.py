"""The Google Analytics 4 dialect: browsers' queries and lines, servers' JSON, ids where the wire has none."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import MalformedHit, TooLarge, UnknownSource
from cdp.model import Dropped, DropReason, Event, EventType, Fact, Operation
from collectors.dialect import Request, Unreadable
from collectors.ga4 import DEBUG
from collectors.registry import DIALECTS, route
from tests.collectors.hits import CHROME, RECEIVED_AT, ids_of, make_request, outcomes_of, read

GA4 = DIALECTS["ga4"]
MEASURE = "/mp/collect?measurement_id=site-key&api_secret=s"
SHARED = {"v": "2", "tid": "site-key", "cid": "c-1", "sid": "s-1", "_p": "811", "_s": "1"}


def make_hit(*lines: dict[str, Any], method: str = "POST", **shared: Any) -> Request:
    body = "\r\n".join(urlencode(line) for line in lines).encode()
    target = "/g/collect?" + urlencode({**SHARED, **shared})
    return make_request(target, body, method=method, headers={"user-agent": CHROME})


def make_measured(*events: Any, target: str = MEASURE, **fields: Any) -> Request:
    return make_request(target, {"client_id": "c-1", "events": list(events), **fields})


def events_of(request: Request, *, hit_id: str = "0-7") -> list[Event]:
    assert read(request, GA4).key == "site-key"
    found = outcomes_of(request, GA4, hit_id=hit_id)
    assert len(found) == read(request, GA4).events
    assert all(isinstance(event, Event) for event in found), found
    return [event for event in found if isinstance(event, Event)]


def event_of(request: Request) -> Event:
    (event,) = events_of(request)
    return event


def properties_of(event: Event) -> Any:
    return json.loads(event.properties)


# Browsers.


def test_a_query_is_one_event_and_each_line_of_a_body_is_one() -> None:
    assert [event.original_name for event in events_of(make_hit(en="page_view"))] == ["page_view"]
    assert [event.original_name for event in events_of(make_hit(method="GET", en="scroll"))] == ["scroll"]
    lines = make_hit({"en": "scroll", "epn.percent_scrolled": 90}, {"en": "click", "ep.link_url": "https://x"})
    assert [properties_of(event) for event in events_of(lines)] == [
        {"percent_scrolled": 90, "$_p": "811", "$_s": "1"},
        {"link_url": "https://x", "$_p": "811", "$_s": "1"},
    ]


@pytest.mark.parametrize(
    ("theirs", "type_", "ours"),
    [
        ("page_view", EventType.PAGE, "page_viewed"),
        ("click", EventType.CLICK, "element_clicked"),
        ("form_submit", EventType.TRACK, "form_submitted"),
        ("session_start", EventType.TRACK, "session_started"),
        ("user_engagement", EventType.TRACK, "user_engagement"),
        ("预约试驾", EventType.TRACK, "预约试驾"),
    ],
)
def test_what_google_named_has_our_names_and_a_teams_own_stay(theirs: str, type_: EventType, ours: str) -> None:
    for request in (make_hit(en=theirs), make_measured({"name": theirs})):
        event = event_of(request)
        assert (event.type, event.name, event.original_name) == (type_, ours, theirs)


def test_page_campaign_device_and_session_of_a_browser() -> None:
    event = event_of(
        make_hit(en="page_view", dl="https://a.example/x7?utm_source=wechat&gclid=G1", dt="车型", dr="https://r.example/",
                 ul="zh-cn", uam="Pixel 9")
    )  # fmt: skip
    assert (event.page.path, event.page.title, event.page.referrer) == ("/x7", "车型", "https://r.example/")
    assert (event.campaign.source, event.campaign.click_ids) == ("wechat", {"gclid": "G1"})
    assert (event.platform, event.device.browser, event.device.model) == ("web", "Chrome", "Pixel 9")
    assert (event.session, event.locale, event.ip) == ("s-1", "zh-cn", "203.0.113.7")
    assert event_of(make_hit(en="page_view", _uip="1.2.3.4")).ip == "1.2.3.4"


def test_a_campaign_that_the_page_sets_goes_before_its_address_and_a_promotions_slot_is_none() -> None:
    address = "https://a.example/?utm_source=wechat&utm_term=suv"
    campaign = event_of(make_hit(en="page_view", dl=address, cs="weibo", cm="social", cn="618")).campaign
    assert (campaign.source, campaign.medium, campaign.name, campaign.term) == ("weibo", "social", "618", "suv")
    assert event_of(make_hit(en="select_promotion", cs="top", cn="x7.jpg")).campaign.source == ""


def test_consent_items_and_what_else_a_browser_says_is_kept_but_hashed_contacts_and_the_key() -> None:
    event = event_of(
        make_hit(en="purchase", gcs="G101", cu="CNY", _et="1459", pr1="idx7~nmX7~pr299", em="tv.1~em.9f86d08", _ss="1")
    )
    assert properties_of(event) == {
        "currency": "CNY", "engagement_time_msec": 1459, "pr1": "idx7~nmX7~pr299", "$gcs": "G101", "$_ss": "1",
        "$_p": "811", "$_s": "1",
    }  # fmt: skip


def test_user_properties_of_a_browser_are_traits_and_numbers_are_numbers() -> None:
    event = event_of(make_hit({"en": "x", "up.city": "上海", "upn.age": "38", "up.zip": "007", "epn.n": "-1.5"}))
    assert [(change.operation, change.name, change.value) for change in event.traits] == [
        (Operation.SET, "city", '"上海"'), (Operation.SET, "age", "38"), (Operation.SET, "zip", '"007"')
    ]  # fmt: skip
    assert properties_of(event)["n"] == -1.5


def test_an_event_without_a_name_is_dropped_alone() -> None:
    *dropped, kept = outcomes_of(make_hit({"ep.x": 1}, {f"ep.{n}": n for n in range(501)}, {"en": "x"}), GA4)
    assert isinstance(kept, Event)
    assert [each.reason for each in dropped if isinstance(each, Dropped)] == [DropReason.MALFORMED_EVENT] * 2


# Who it is.


def test_a_user_id_beside_a_client_id_is_a_login_and_a_login_event_without_one_is_not() -> None:
    for known in (make_hit(en="scroll", uid="u1"), make_measured({"name": "scroll"}, user_id="u1")):
        assert ids_of(event_of(known)) == ["member_id:u1", "anonymous_id:c-1"]
        assert event_of(known).fact is Fact.LOGIN
    for unknown in (make_hit(en="login"), make_measured({"name": "login"}, user_id="")):
        assert ids_of(event_of(unknown)) == ["anonymous_id:c-1"]
        assert event_of(unknown).fact is Fact.CO_OCCURRENCE


def test_an_app_is_known_by_its_instance_and_named_by_its_firebase_id() -> None:
    target = "/mp/collect?firebase_app_id=1:22:android:ab&api_secret=s"
    request = make_measured({"name": "first_open"}, target=target, client_id=None, app_instance_id="i-1")
    assert read(request, GA4).key == "1:22:android:ab"
    (event,) = outcomes_of(request, GA4)
    assert isinstance(event, Event)
    assert (ids_of(event), event.platform) == (["device_id:i-1"], "android")


def test_user_properties_of_a_server_are_traits_and_contacts_among_them_identifiers() -> None:
    told = {"mobile": {"value": "13812345678"}, "level": {"value": 3}, "gone": {"value": None}}
    event = event_of(make_measured({"name": "x"}, user_properties=told))
    assert ids_of(event) == ["phone:13812345678", "anonymous_id:c-1"]
    assert [(change.operation, change.name) for change in event.traits] == [
        (Operation.SET, "mobile"), (Operation.SET, "level"), (Operation.UNSET, "gone")
    ]  # fmt: skip


# Servers.


def test_a_server_tells_session_page_place_and_device() -> None:
    params = {"session_id": 1772439000, "page_location": "https://a.example/p?utm_source=wx", "page_title": "P", "n": 1}
    told = {
        "consent": {"ad_user_data": "GRANTED"},
        "ip_override": "1.2.3.4",
        "user_location": {"city": "Shanghai"},
        "device": {"category": "smart TV", "language": "zh", "operating_system": "Tizen"},
        "user_data": {"sha256_phone_number": "9f86d0"},
    }
    event = event_of(make_measured({"name": "view_item", "params": params}, **told))
    assert (event.session, event.page.path, event.page.title) == ("1772439000", "/p", "P")
    assert (event.campaign.source, event.ip, event.locale) == ("wx", "1.2.3.4", "zh")
    assert (event.platform, event.device.kind, event.device.os) == ("server", "tv", "Tizen")
    kept = {f"${name}": told[name] for name in ("consent", "user_location", "device")}
    assert properties_of(event) == {**params, **kept}
    assert event_of(make_measured({"name": "view_item"})).ip == ""


def test_the_details_of_a_campaign_are_an_event_of_their_own() -> None:
    params = {"source": "weibo", "medium": "social", "campaign": "618"}
    assert event_of(make_measured({"name": "campaign_details", "params": params})).campaign.name == "618"
    assert event_of(make_measured({"name": "test_drive_requested", "params": params})).campaign.name == ""


@pytest.mark.parametrize(
    ("shared", "own", "at"),
    [
        ((RECEIVED_AT - 5_000) * 1_000, None, RECEIVED_AT - 5_000),
        ((RECEIVED_AT - 5_000) * 1_000, str((RECEIVED_AT - 9_000) * 1_000), RECEIVED_AT - 9_000),
        (None, (RECEIVED_AT - 9_000), RECEIVED_AT - 9_000),
        ((RECEIVED_AT - 30 * 86_400_000) * 1_000, None, RECEIVED_AT - 30 * 86_400_000),
        (None, "soon", RECEIVED_AT),
    ],
)
def test_an_events_own_time_goes_before_the_requests_and_old_ones_are_kept(shared: Any, own: Any, at: int) -> None:
    event = event_of(make_measured({"name": "x", "timestamp_micros": own}, timestamp_micros=shared))
    assert event.occurred_at == at


# Ids, which no client sends.


def ids_by_hit(*requests: Request) -> set[str]:
    return {event.id for number, request in enumerate(requests) for event in events_of(request, hit_id=f"0-{number}")}


def test_a_browsers_hit_that_comes_again_is_the_same_and_the_next_one_like_it_is_another() -> None:
    line = {"en": "scroll", "_et": 5}
    hit = make_hit(line, line)
    assert len(ids_by_hit(hit)) == len(ids_by_hit(hit, hit)) == 2
    assert len(ids_by_hit(make_hit(en="page_view"), make_hit(en="page_view", _s="2"))) == 2
    assert len(ids_by_hit(make_hit(en="page_view"), make_hit(en="page_view", _p="812"))) == 2
    uncounted = make_hit(en="page_view", _s="")
    assert len(ids_by_hit(uncounted, uncounted)) == 2


def test_a_servers_event_is_known_by_its_time_else_by_its_request() -> None:
    timed = {"name": "x", "timestamp_micros": 1_795_310_000_000_000}
    assert len(ids_by_hit(make_measured(timed), make_measured({"name": "y"}, timed))) == 2
    assert len(ids_by_hit(make_measured(timed), make_measured(timed, client_id="c-2"))) == 2
    batch = make_measured({"name": "x"}, {"name": "x"}, timestamp_micros=1_795_310_000_000_000)
    assert len(ids_by_hit(batch, batch)) == 2
    timeless = make_measured({"name": "x"})
    assert len(ids_by_hit(timeless, timeless)) == 2


# Answers.


@pytest.mark.parametrize("request_", [make_hit(en="x"), make_measured({"name": "x"})])
def test_the_answer_is_204_also_to_what_is_unreadable_and_a_key_of_nobody_is_told(request_: Request) -> None:
    assert GA4.accepted(request_, read(request_, GA4)).status == 204
    unreadable = GA4.refused(request_, Unreadable("site-key", "no JSON"))
    assert unreadable is not None
    assert unreadable.status == 204
    assert GA4.refused(request_, UnknownSource()) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"events":{}}', b"\x1f\x8bxx"])
def test_an_unreadable_body_names_its_key(body: bytes) -> None:
    with pytest.raises(Unreadable) as unreadable:
        read(make_request(MEASURE, body), GA4)
    assert unreadable.value.key == "site-key"
    with pytest.raises(MalformedHit):
        outcomes_of(make_request(MEASURE, body), GA4)


def test_more_events_and_fields_than_allowed_are_refused() -> None:
    for request in (
        make_request("/g/collect?tid=site-key", b"en=x\n" * 5_001),
        make_request(MEASURE, b'{"events":[' + b"{}," * 5_000 + b"{}]}"),
        # What all events share is stored with each: a small request must not become a large one.
        make_request(f"/g/collect?tid=site-key&dt={'x' * 10_000}", b"en=x\n" * 3_000),
        make_measured(*[{"name": "x"}] * 3_000, user_properties={"x": {"value": "y" * 10_000}}),
    ):
        with pytest.raises(TooLarge):
            read(request, GA4)
    with pytest.raises(Unreadable):
        read(make_hit(**{f"ep.{number}": "1" for number in range(500)}), GA4)


def test_the_debug_address_says_what_is_wrong_and_takes_no_event() -> None:
    assert route("POST", DEBUG) is None
    assert debugged(make_measured({"name": "x"}, target=f"{DEBUG}?measurement_id=G-1")) == []
    assert debugged(make_measured(target=f"{DEBUG}?measurement_id=G-1")) == ["events"]
    assert debugged(make_measured({"name": ""}, [], target=DEBUG, client_id=None)) == [
        "measurement_id", "client_id", "events[0].name", "events[1].name"
    ]  # fmt: skip
    assert debugged(make_request(f"{DEBUG}?measurement_id=G-1", b"{")) == [""]


def debugged(request: Request) -> list[str]:
    answer = GA4.config(request)
    assert answer is not None
    return [message["fieldPath"] for message in json.loads(answer.body)["validationMessages"]]


def test_fields_of_an_unexpected_shape_are_left_out_and_the_event_stays() -> None:
    event = event_of(
        make_measured(
            {"name": "x", "params": [1], "timestamp_micros": {}},
            client_id={}, user_properties=[1], device="phone", consent=None, user_agent=7, ip_override=[],
        )
    )  # fmt: skip
    assert (ids_of(event), properties_of(event), event.occurred_at) == (
        [], {"value": [1], "$device": "phone"}, RECEIVED_AT
    )  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["client_id", "user_properties", "device", "consent", "timestamp_micros", "user_agent"])
EVENTS = st.lists(JSON | st.fixed_dictionaries({"name": JSON, "params": JSON, "timestamp_micros": JSON}), max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=60)
    | st.tuples(st.dictionaries(FIELDS, JSON, max_size=4), EVENTS).map(
        lambda told: json.dumps({**told[0], "events": told[1]}).encode()
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
)
def test_no_bytes_make_it_fail_otherwise_than_in_words(body: bytes, query: str) -> None:
    for request in (make_request(MEASURE, body), make_request(f"/g/collect?{query}", body)):
        try:
            envelope = GA4.read(request)
        except (Unreadable, TooLarge):
            with pytest.raises(MalformedHit):
                outcomes_of(request, GA4)
        else:
            assert len(outcomes_of(request, GA4)) == envelope.events
