"""The ThinkingData dialect: bodies of all its clients, times without a zone, and what its records say of people."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import MalformedHit, TooLarge, TooManyRequests, UnknownSource
from cdp.model import Dropped, Event, EventType, Fact, Operation
from collectors.dialect import Unreadable
from collectors.thinkingdata import ThinkingData
from tests.collectors.hits import RECEIVED_AT, ids_of, make_request, outcomes_of, read

TD = ThinkingData()
NOON = "2026-11-22 12:00:00.000"
"""RECEIVED_AT as a text of China's."""
KEYED = {"appid": "site-key"}


def make_record(**fields: Any) -> dict[str, Any]:
    named = {"type": "track", "event_name": "seat_viewed", "time": NOON, "distinct_id": "v1", "uuid": "u-1", **fields}
    properties = named.pop("properties", {})
    return {f"#{name}": value for name, value in named.items() if value is not None} | {"properties": properties}


def event_of(record: Any, *, target: str = "/sync_server", **more: Any) -> Event:
    (event,) = outcomes_of(make_request(target, [record], headers=KEYED), TD, **more)
    assert isinstance(event, Event)
    return event


def envelope_of(*records: Any, **fields: Any) -> dict[str, Any]:
    return {"data": list(records), "#app_id": "site-key", "#flush_time": RECEIVED_AT, **fields}


def base64_of(value: Any, *, packed: bool = False) -> bytes:
    text = json.dumps(value).encode()
    return base64.b64encode(gzip.compress(text) if packed else text)


# Requests.


MULTIPART = b'------x\r\nContent-Disposition: form-data; name="data"\r\n\r\n%b\r\n------x--\r\n'
OTHER_PART = b'------x\r\nContent-Disposition: form-data; name="appid"\r\n\r\nsite-key\r\n'


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/sync_server", gzip.compress(json.dumps([make_record()]).encode())),
        ("/sync_json", {"appid": "site-key", "data": make_record()}),
        ("/sync_xcx", envelope_of(make_record())),
        ("/sync", base64_of(envelope_of(make_record()), packed=True)),
        ("/sync", envelope_of(data=json.dumps([make_record()]))),
        ("/sync_js", b"&data=" + quote(base64_of(envelope_of(make_record()))).encode() + b"&ext=crc%3D1&version=2"),
        ("/sync_js", MULTIPART % base64_of(envelope_of(make_record()))),
        ("/data_debug", b"appid=site-key&source=client&dryRun=0&data=" + quote(json.dumps(make_record())).encode()),
        ("/data_debug", MULTIPART % json.dumps(make_record()).encode()),
        ("/data_debug", OTHER_PART + MULTIPART % json.dumps(make_record()).encode()),
    ],
)
def test_one_record_comes_as_array_envelope_form_beacon_or_bare_base64(target: str, body: Any) -> None:
    request = make_request(target, body, headers=KEYED)
    assert read(request, TD).events == 1
    (event,) = outcomes_of(request, TD)
    assert isinstance(event, Event)
    assert (event.client_id, event.original_name, event.occurred_at) == ("u-1", "seat_viewed", RECEIVED_AT)


def test_a_site_sends_images() -> None:
    data = quote(base64_of(envelope_of(make_record())))
    request = make_request(f"/sync_js?&data={data}&ext=crc%3D1&version=2.1", method="GET")
    envelope = read(request, TD)
    assert (envelope.key, envelope.events) == ("site-key", 1)
    assert TD.accepted(request, envelope).content_type == "image/gif"


def test_the_key_of_the_header_decides_then_the_address_then_the_body_then_a_record() -> None:
    body = envelope_of(make_record(app_id="record"))
    assert read(make_request("/sync?appid=query", body, headers={"appid": "header"}), TD).key == "header"
    assert read(make_request("/sync?appid=query", body), TD).key == "query"
    assert read(make_request("/sync", body), TD).key == "site-key"
    assert read(make_request("/sync_server", [make_record(), make_record(app_id="record")]), TD).key == "record"


def test_a_record_with_an_app_of_its_own_belongs_to_that_source() -> None:
    records = [make_record(), make_record(app_id="other-key"), make_record(app_id="nobody")]
    outcomes = outcomes_of(make_request("/sync_server", records, headers=KEYED), TD)
    assert [outcome.source for outcome in outcomes] == ["site", "other", ""]
    # A header is not kept: what names no app of its own is of the source that was accepted.
    first = outcomes_of(make_request("/sync_server", [make_record(app_id="gone")]), TD)
    assert first[0].source == "site"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"data=", b"data=!", b"H4sIbroken", b"--x\r\nno part", b'{"data":"no"}', (MULTIPART % b"W10=")[:-9]],
)
def test_what_cannot_be_read_is_answered_200_with_a_code_or_the_device_sends_it_for_ever(body: bytes) -> None:
    request = make_request("/sync", body, headers=KEYED)
    with pytest.raises(Unreadable) as unreadable:
        read(request, TD)
    assert unreadable.value.key == "site-key"
    answer = TD.refused(request, unreadable.value)
    assert answer is not None
    assert (answer.status, json.loads(answer.body)["code"]) == (200, -1)
    with pytest.raises(MalformedHit):
        outcomes_of(request, TD)


def test_what_is_too_large_is_kept_as_a_sentence_and_a_limit_or_a_key_is_said() -> None:
    with pytest.raises(Unreadable) as unreadable:
        read(make_request("/sync", b"[" + b"{}," * 5_000 + b"{}]", headers=KEYED), TD)
    assert unreadable.value.instead
    for error in (UnknownSource(), TooManyRequests(1), TooLarge("It", limit=1, unit="bytes")):
        assert TD.refused(make_request("/sync"), error) is None


def test_answers_are_what_the_clients_read() -> None:
    request = make_request("/sync_server", [make_record()], headers=KEYED)
    assert json.loads(TD.accepted(request, read(request, TD)).body) == {"code": 0}
    debug = make_request("/data_debug", b"appid=site-key&dryRun=1&data=" + quote(json.dumps(make_record())).encode())
    envelope = read(debug, TD)
    assert (envelope.key, envelope.events, outcomes_of(debug, TD)) == ("site-key", 0, [])
    assert json.loads(TD.accepted(debug, envelope).body)["errorLevel"] == 0
    refused = TD.refused(debug, Unreadable("site-key", "no JSON"))
    assert refused is not None
    assert (refused.status, json.loads(refused.body)["errorLevel"]) == (200, 2)
    config = TD.config(make_request("/config?appid=site-key", method="GET"))
    assert config is not None
    assert json.loads(config.body)["code"] == 0


# Time.


@pytest.mark.parametrize(
    ("time", "properties", "hour"),
    [
        (NOON, {}, 0),
        (NOON, {"#zone_offset": 9}, -1),
        (NOON, {"#zone_offset": 5.5}, 2.5),
        (NOON, {"#zone_offset": 99}, 0),
        ("2026-11-22T04:00:00Z", {"#zone_offset": 9}, 0),
        ("2026-11-22 11:00:00+08:00", {}, -1),
        (RECEIVED_AT - 7_200_000, {"#zone_offset": 9}, -2),
    ],
)
def test_a_time_is_in_the_zone_that_it_or_its_record_names_else_in_chinas(
    time: Any, properties: dict[str, Any], hour: float
) -> None:
    event = event_of(make_record(time=time, properties=properties), received_at=RECEIVED_AT + 10_000_000)
    assert event.occurred_at == RECEIVED_AT + hour * 3_600_000


def test_a_record_about_a_person_has_the_zone_of_those_beside_it() -> None:
    records = [make_record(type="user_set", event_name=None), make_record(properties={"#zone_offset": 9})]
    outcomes = outcomes_of(make_request("/sync", records, headers=KEYED), TD)
    assert [outcome.occurred_at for outcome in outcomes if isinstance(outcome, Event)] == [RECEIVED_AT - 3_600_000] * 2


@pytest.mark.parametrize(
    ("target", "flushed_ms", "properties", "moved_ms"),
    [
        ("/sync", -5_000_000, {}, 5_000_000),
        ("/sync", -5_000_000, {"#time_calibration": 2}, 0),
        ("/sync", -5_000_000, {"#lib": "tga_python_sdk"}, 0),
        ("/sync", -30_000, {}, 0),
        ("/sync", -3_600_000, {}, 3_600_000),
        ("/sync_js", -3_600_000, {"#lib": "js"}, 0),
        ("/sync_js", -5_000_000, {"#lib": "js"}, 5_000_000),
    ],
)
def test_a_wrong_clock_is_corrected_where_it_is_one(
    target: str, flushed_ms: int, properties: dict[str, Any], moved_ms: int
) -> None:
    record = make_record(time="2026-11-22 10:00:00.000", properties=properties)
    body = envelope_of(record, **{"#flush_time": RECEIVED_AT + flushed_ms})
    (event,) = outcomes_of(make_request(target, body), TD)
    assert isinstance(event, Event)
    assert event.occurred_at == RECEIVED_AT - 7_200_000 + moved_ms


# Records.


@pytest.mark.parametrize(
    ("theirs", "type_", "ours"),
    [
        ("ta_pageview", EventType.PAGE, "page_viewed"),
        ("ta_page_hide", EventType.TRACK, "page_left"),
        ("ta_mp_view", EventType.PAGE, "page_viewed"),
        ("ta_app_click", EventType.CLICK, "element_clicked"),
        ("ta_mp_launch", EventType.TRACK, "app_opened"),
        ("ta_mp_show", EventType.TRACK, "session_started"),
        ("ta_app_end", EventType.TRACK, "app_closed"),
        ("ta_app_crash", EventType.TRACK, "ta_app_crash"),
    ],
)
def test_what_the_sdks_collect_has_our_names(theirs: str, type_: EventType, ours: str) -> None:
    event = event_of(make_record(event_name=theirs))
    assert (event.type, event.name, event.original_name) == (type_, ours, theirs)


def test_an_account_is_a_member_and_a_visitor_is_anonymous() -> None:
    event = event_of(make_record(account_id=7))
    assert (ids_of(event), event.fact) == (["member_id:7", "anonymous_id:v1"], Fact.LOGIN)
    assert ids_of(event_of(make_record(distinct_id="系统没有取到值"))) == []
    app = {"#lib": "Android", "#device_id": "d1"}
    assert ids_of(event_of(make_record(properties=app))) == ["device_id:d1", "anonymous_id:v1"]
    assert ids_of(event_of(make_record(properties={**app, "#lib": "js"}))) == ["anonymous_id:v1", "anonymous_id:d1"]


@pytest.mark.parametrize(
    ("type_", "properties", "changes"),
    [
        ("user_set", {"name": "李", "gone": None, "#lib": "x"}, [(Operation.SET, "name", '"李"')]),
        ("user_setOnce", {"first": 1}, [(Operation.SET_ONCE, "first", "1")]),
        ("user_add", {"n": 2.5}, [(Operation.INCREMENT, "n", "2.5")]),
        ("user_append", {"t": ["a", "b"]}, [(Operation.APPEND, "t", '"a"'), (Operation.APPEND, "t", '"b"')]),
        ("user_uniq_append", {"t": ["a"]}, [(Operation.APPEND, "t", '"a"')]),
        ("user_unset", {"age": 0, "#lib": 0}, [(Operation.UNSET, "age", "null")]),
        ("user_del", {}, [(Operation.DELETE, "", "null")]),
    ],
)
def test_a_record_about_a_person_is_changes_of_traits(type_: str, properties: Any, changes: list[Any]) -> None:
    event = event_of(make_record(type=type_, event_name=None, properties=properties))
    assert (event.type, event.name, event.original_name) == (EventType.PROFILE, "profile_updated", type_)
    assert [(change.operation, change.name, change.value) for change in event.traits] == changes
    assert event.properties == b"{}"


def test_an_event_that_is_changed_later_is_an_event_each_time_and_names_the_first() -> None:
    records = [make_record(type=type_, event_id="e1", uuid=type_) for type_ in ("track", "track_update")]
    outcomes = outcomes_of(make_request("/sync_server", records, headers=KEYED), TD)
    events = [outcome for outcome in outcomes if isinstance(outcome, Event)]
    assert len({event.id for event in events}) == 2
    assert [json.loads(event.properties) for event in events] == [{"#event_id": "e1"}] * 2


def test_page_campaign_app_and_device_are_found_in_the_presets() -> None:
    properties = {
        "#lib": "MP",
        "#url_path": "pages/car",
        "#title": "X9",
        "#os": "iOS",
        "#device_model": "iPhone 15",
        "#app_version": "2.1",
        "#system_language": "zh_CN",
        "utm_source": "qr",
        "bd_vid": "B1",
        "#referrer": "直接打开",
    }
    event = event_of(make_record(properties=properties), target="/sync_xcx")
    assert (event.platform, event.page.path, event.page.title, event.page.referrer) == (
        "mini_program",
        "pages/car",
        "X9",
        "",
    )
    assert (event.campaign.source, event.campaign.click_ids) == ("qr", {"bd_vid": "B1"})
    assert (event.app.version, event.device.kind, event.device.model, event.locale) == (
        "2.1",
        "mobile",
        "iPhone 15",
        "zh_CN",
    )


def test_a_server_names_the_address_and_without_an_id_a_retry_is_the_same_event() -> None:
    record = make_record(uuid=None, ip="1.2.3.4")
    first, second = event_of(record, hit_id="0-1"), event_of(record, hit_id="0-2")
    assert first.id == second.id
    assert (first.ip, event_of(make_record()).ip, event_of(make_record(), target="/sync").ip) == (
        "1.2.3.4",
        "",
        "203.0.113.7",
    )


def test_a_bad_or_encrypted_record_is_dropped_alone() -> None:
    records = [make_record(event_name=None), {"ekey": "k", "payload": "p"}, 7, make_record()]
    outcomes = outcomes_of(make_request("/sync", records, headers=KEYED), TD)
    assert [outcome.detail for outcome in outcomes if isinstance(outcome, Dropped)] == [
        "`#event_name`, the event's name, is missing",
        "encrypted by the SDK for the vendor's server; switch its encryption off",
        "a record is a JSON object",
    ]
    assert isinstance(outcomes[3], Event)


# Anything at all.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("#type", "#event_name", "#time", "#distinct_id", "#account_id", "#uuid", "#app_id", "#ip", "properties")


@settings(max_examples=150, deadline=None)
@given(st.lists(_JSON | st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=6), max_size=4), _JSON)
def test_any_json_gives_events_or_drops_or_is_unreadable(records: Any, flushed: Any) -> None:
    for body in (records, {"data": records, "#flush_time": flushed}):
        try:
            outcomes = outcomes_of(make_request("/sync", body), TD)
        except MalformedHit:
            continue
        assert all(isinstance(outcome, (Event, Dropped)) for outcome in outcomes)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"", b"data=", b"--x\r\n", b"H4sI", b"{"]), st.binary(max_size=60))
def test_any_bytes_give_events_or_drops_or_are_unreadable(start: bytes, rest: bytes) -> None:
    request = make_request("/sync", start + rest, headers=KEYED)
    try:
        envelope = read(request, TD)
    except Unreadable:
        return
    assert len(outcomes_of(request, TD)) == envelope.events
