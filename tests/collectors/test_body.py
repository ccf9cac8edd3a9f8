"""Bodies as they come over the wire, good and bad."""

from __future__ import annotations

import base64
import gzip
import sys
import zlib
from collections.abc import Callable
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from cdp.errors import MalformedHit, TooLarge
from collectors.body import (
    ESCAPED_BYTES,
    MAX_MEMBERS,
    MEND_BYTES,
    SMALL_BYTES,
    Decoder,
    FewRecords,
    form_bytes,
    from_base64,
    gunzip,
    mended,
    query_value,
    records_of,
    split_target,
    unescaped,
    unpacked,
)
from collectors.dialect import MAX_BODY_BYTES, MAX_EVENTS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RECORDS: Decoder[object] = Decoder(list[Raw], FewRecords)


def decoded(body: bytes) -> list[bytes]:
    return [bytes(record) for record in records_of(RECORDS.decode(body)[0])]


def test_gzip_is_known_by_its_first_bytes_and_not_by_a_header() -> None:
    assert unpacked(gzip.compress(b'{"a":1}')) == b'{"a":1}'
    assert unpacked(b'{"a":1}') == b'{"a":1}'


def test_a_byte_order_mark_is_no_part_of_the_json() -> None:
    assert unpacked(b"\xef\xbb\xbf[1]") == b"[1]"


def test_several_gzip_members_are_one_body_and_padding_behind_them_is_ignored() -> None:
    assert gunzip(gzip.compress(b"[1,") + gzip.compress(b"2]") + b"\0\0") == b"[1,2]"


def test_a_gzip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"0" * (4 * MAX_BODY_BYTES))
    with pytest.raises(TooLarge):
        unpacked(bomb)


def test_the_limit_on_unpacked_bytes_is_exact() -> None:
    assert len(gunzip(gzip.compress(b"x" * 1000), limit=1000)) == 1000
    with pytest.raises(TooLarge):
        gunzip(gzip.compress(b"x" * 1001), limit=1000)
    with pytest.raises(TooLarge):
        gunzip(gzip.compress(b"x" * 600) + gzip.compress(b"x" * 401), limit=1000)


def test_thousands_of_empty_gzip_members_are_not_unpacked_one_by_one() -> None:
    with pytest.raises(MalformedHit):
        gunzip(gzip.compress(b"") * (MAX_MEMBERS + 1))


@pytest.mark.parametrize("harm", ["cut", "flipped", "header only"])
def test_broken_gzip_is_unreadable(harm: str) -> None:
    good = gzip.compress(b'{"event":"x"}' * 20)
    bad = {"cut": good[:-9], "flipped": good[:-6] + b"\xff" + good[-5:], "header only": b"\x1f\x8b"}[harm]
    with pytest.raises(MalformedHit):
        unpacked(bad)


def test_a_body_over_the_limit_is_refused_without_compression_too() -> None:
    with pytest.raises(TooLarge):
        unpacked(b" " * (MAX_BODY_BYTES + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'[{"a":1}',
        b"[1] 2",
        b'["\xff"]',
        b'[{"\xc3\x28":1}]',
        '["中"]'.encode("gbk"),
        b"[01]",
        b"[\x01]",
        b"[tru]",
        b"[NaNa]",
        b"[" * 100_000 + b"]" * 100_000,
        b'[{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}]",
    ],
    ids=lambda body: repr(body[:14]),
)
def test_what_is_no_json_in_utf8_is_unreadable_also_where_nobody_looks(body: bytes) -> None:
    with pytest.raises(MalformedHit):
        decoded(body)


def test_an_error_about_a_body_never_shows_its_values() -> None:
    with pytest.raises(MalformedHit) as unreadable:
        decoded(b'[{"phone":"13800138000","x":"' + b'\xff"}]')
    assert "138" not in unreadable.value.detail


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (rb'["\ud83d"]', rb'["\ufffd"]'),
        (rb'["a\ude00b"]', rb'["a\ufffdb"]'),
        (rb'["\ud83d\ude00"]', rb'["\ud83d\ude00"]'),
        (rb'["\ud83d\ud83d\ude00"]', rb'["\ufffd\ud83d\ude00"]'),
        (rb'["\\ud83d"]', rb'["\\ud83d"]'),
        (b'[{"a":NaN}]', b'[{"a":null}]'),
        (b"[-Infinity,Infinity,1]", b"[null,null,1]"),
        (b'["NaN","a NaN \\" NaN",NaN]', b'["NaN","a NaN \\" NaN",null]'),
    ],
)
def test_half_an_emoji_or_a_nan_costs_no_batch(sent: bytes, kept: bytes) -> None:
    assert RECORDS.decode(sent)[1] == kept


def test_mending_is_linear_and_gives_up_on_large_bodies() -> None:
    hostile = b"[NaN" + b'"\\"' * (MEND_BYTES // 3 - 2)
    assert len(mended(hostile)) == len(hostile) + 1
    assert mended(b"[NaN," + b"1," * MEND_BYTES) == b"[NaN," + b"1," * MEND_BYTES


@given(st.binary(max_size=60))
def test_mending_any_bytes_changes_nothing_that_was_good(body: bytes) -> None:
    try:
        good = decoded(body)
    except MalformedHit:
        return
    assert decoded(mended(body)) == good


def test_five_thousand_events_are_taken_and_one_more_is_too_many() -> None:
    assert len(decoded(b"[" + b"{}," * (MAX_EVENTS - 1) + b"{}]")) == MAX_EVENTS
    with pytest.raises(TooLarge):
        decoded(b"[" + b"{}," * MAX_EVENTS + b"{}]")


def test_records_of_a_large_body_are_the_same_and_counted_without_building_them() -> None:
    padding = b'{"p":"' + b"x" * SMALL_BYTES + b'"}'
    assert decoded(b"[1," + padding + b",3]") == [b"1", padding, b"3"]
    with pytest.raises(TooLarge):
        decoded(b"[" + b"1," * 2_000_000 + b"1]")


def test_base64_survives_what_forms_and_urls_do_to_it() -> None:
    told = '{"a":"中文>>>???~~~"}'.encode()
    text = base64.b64encode(told)
    assert b"+" in text or b"/" in text
    for value in (
        text,
        text.replace(b"+", b" "),
        text.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D"),
        text.replace(b"+", b"%2b").replace(b"/", b"%2f").replace(b"=", b"%3d"),
        base64.urlsafe_b64encode(told),
        text.rstrip(b"="),
        text[:20] + b"\r\n" + text[20:],
        text[:20] + b"%0A" + text[20:],
    ):
        assert from_base64(value) == told


def test_base64_of_gzip_needs_no_marker() -> None:
    assert from_base64(base64.b64encode(gzip.compress(b"[1]"))) == b"[1]"


def test_a_bomb_in_base64_is_refused_too() -> None:
    with pytest.raises(TooLarge):
        from_base64(base64.b64encode(gzip.compress(b"0" * (MAX_BODY_BYTES + 1))))


@given(st.binary(max_size=200))
def test_base64_of_anything_decodes_to_it_unless_it_looks_packed(told: bytes) -> None:
    if not told.startswith((b"\x1f\x8b", b"\xef\xbb\xbf", b"\x28\xb5", b"x")):
        assert from_base64(base64.b64encode(told)) == told


def test_cut_base64_is_unreadable() -> None:
    with pytest.raises(MalformedHit):
        from_base64(b"A")


def test_a_form_field_is_found_by_name_wherever_it_stands() -> None:
    form = b"crc=1&data_list=W10=&gzip=1"
    assert form_bytes(form, b"data", b"data_list") == b"W10="
    assert form_bytes(form, b"data") is None
    assert form_bytes(b"&" * 1_000_000 + b"data=x", b"data") is None


def test_escapes_are_undone_across_pieces_and_not_without_end() -> None:
    told = "看车 100% + more".encode() * 3_000
    assert unescaped(quote_plus(told).encode()) == told
    with pytest.raises(TooLarge):
        unescaped(b"%7B" * ESCAPED_BYTES)


def test_a_query_value_is_found_by_its_whole_name() -> None:
    assert query_value("xproject=a&project=b+c%2Bd&q=1", "project") == "b c+d"
    assert query_value("xproject=a", "project") == ""
    assert query_value("", "project") == ""
    assert query_value("project=", "project") == ""


def test_the_target_may_be_absolute_and_its_path_escaped() -> None:
    assert split_target("/sa?project=%2F") == ("/sa", "project=%2F")
    assert split_target("http://collect.example.com/sa.gif?x") == ("/sa.gif", "x")
    assert split_target("/%E4%B8%AD") == ("/中", "")


def test_zstd_and_zlib_are_known_by_their_first_bytes_too() -> None:
    told = b'{"a":"' + b"x" * 1000 + b'"}'
    assert unpacked(zstd.compress(told)) == told
    assert unpacked(zstd.compress(told[:500]) + zstd.compress(told[500:])) == told
    for level in (0, 1, 6, 9):
        assert unpacked(zlib.compress(told, level)) == told


def test_bare_deflate_looks_like_nothing_and_has_to_be_announced() -> None:
    stream = zlib.compressobj(wbits=-15)
    bare = stream.compress(b'{"a":1}') + stream.flush()
    assert unpacked(bare, encoding=" Deflate") == b'{"a":1}'
    with pytest.raises(MalformedHit):
        decoded(unpacked(bare))
    assert unpacked(b'{"a":1}', encoding="deflate") == b'{"a":1}'


@pytest.mark.parametrize("pack", [zstd.compress, zlib.compress], ids=["zstd", "zlib"])
def test_bombs_and_cut_streams_of_every_packing_are_refused(pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TooLarge):
        unpacked(pack(b"0" * (2 * MAX_BODY_BYTES)))
    good = pack(b'{"event":"x"}' * 20)
    for bad in (good[:-3], good[:6], good[:10] + b"\xff" * 9 + good[19:]):
        with pytest.raises(MalformedHit):
            unpacked(bad)
