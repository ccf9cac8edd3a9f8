"""lz-string in its four alphabets, beside the package that its authors' algorithm was ported to."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lzstring import LZString

from cdp.errors import MalformedHit, TooLarge
from collectors.lz_string import (
    MAX_PACKED_BYTES,
    decompress_base64,
    decompress_uri,
    decompress_utf16,
    decompress_words,
)

ORACLE = LZString()

_TEXTS = st.text(max_size=40) | st.text(alphabet="ab中😀", max_size=300) | st.lists(
    st.sampled_from(["\ud83d", "\udc00", "车", "\x00", "ÿ", "Ā", "eventType"]), max_size=40
).map("".join)  # fmt: skip


def units_of(text: str) -> str:
    """As JavaScript has it: one sign per UTF-16 unit, half emoji included. The oracle takes nothing else."""
    data = text.encode("utf-16-be", "surrogatepass")
    return "".join(chr(data[at] << 8 | data[at + 1]) for at in range(0, len(data), 2))


def words_of(text: str) -> bytes:
    return b"".join(ord(sign).to_bytes(2, "big") for sign in ORACLE.compress(units_of(text)))


@settings(max_examples=200, deadline=None)
@given(text=_TEXTS)
@example(text="")
@example(text="a" * 500)
def test_each_alphabet_gives_back_what_was_packed(text: str) -> None:
    units = units_of(text)
    found = [
        decompress_base64(ORACLE.compressToBase64(units).encode()),
        decompress_uri(ORACLE.compressToEncodedURIComponent(units).encode()),
        decompress_utf16(ORACLE.compressToUTF16(units)),
        decompress_words(words_of(text)),
    ]
    assert [units_of(each) for each in found] == [units] * 4


def test_a_plus_that_became_a_space_is_a_plus_again() -> None:
    text = next(text for text in map(chr, range(9_999)) if "+" in ORACLE.compressToEncodedURIComponent(text))
    packed = ORACLE.compressToEncodedURIComponent(text)
    assert decompress_uri(packed.replace("+", " ").encode()) == text


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_as_the_oracle_reads_them_or_are_malformed(data: bytes) -> None:
    packed = "".join(chr(data[at] << 8 | data[at + 1]) for at in range(0, len(data) - 1, 2)) + "\0"
    try:
        found = decompress_words(data[: len(data) // 2 * 2])
    except MalformedHit:
        # The oracle fails on them in ways of its own.
        return
    assert units_of(found) == (ORACLE.decompress(packed) or "")


def test_a_stream_that_was_cut_is_malformed() -> None:
    packed = words_of("一篇关于七座车的文章 " * 9)
    for cut in range(4, len(packed)):
        with pytest.raises(MalformedHit):
            decompress_words(packed[:-cut])


@pytest.mark.parametrize("broken", [b"", b"N*bw", "NobwRApgb中".encode()])
def test_letters_of_no_alphabet_are_malformed(broken: bytes) -> None:
    for read in (decompress_base64, decompress_uri):
        with pytest.raises(MalformedHit):
            read(broken)


@pytest.mark.parametrize("broken", ["", "\x1f", "\uffff", "😀"])
def test_signs_that_utf16_packing_never_writes_are_malformed(broken: str) -> None:
    with pytest.raises(MalformedHit):
        decompress_utf16(broken)


def test_a_small_stream_of_a_large_text_stops_at_the_limit() -> None:
    packed = words_of("a" * 100_000)
    assert len(packed) < 1_000
    assert len(decompress_words(packed, limit=100_000)) == 100_000
    with pytest.raises(TooLarge):
        decompress_words(packed, limit=99_999)


def test_the_limit_is_of_bytes_not_of_signs() -> None:
    packed = words_of("车" * 100)
    assert len(decompress_words(packed, limit=300)) == 100
    with pytest.raises(TooLarge):
        decompress_words(packed, limit=299)


def test_a_stream_over_the_limit_is_not_begun() -> None:
    with pytest.raises(TooLarge):
        decompress_words(random.Random(1).randbytes(MAX_PACKED_BYTES + 2))
