"""Codes: what a scanner reads out of the image, and what no code may carry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdp.cli import run
from cdp.errors import Refused
from cdp.qr import Code, Format, codes_of, named, tagged_url
from tests.scanner import pixels_of, scanned

SHOW = {"source": "auto-shanghai", "name": "秋季试驾", "content": "stand-a"}


@pytest.mark.parametrize("scale", [2, 10])
def test_a_scanner_reads_the_page_with_its_campaign(scale: int) -> None:
    (code,) = codes_of("https://www.example.com/x9?color=red&q=a%20b#seats", SHOW)
    assert scanned(code.image(Format.PNG, scale=scale)) == (
        "https://www.example.com/x9?color=red&q=a%20b&utm_source=auto-shanghai&utm_medium=qr"
        "&utm_campaign=%E7%A7%8B%E5%AD%A3%E8%AF%95%E9%A9%BE&utm_content=stand-a#seats"
    )


def test_a_code_in_svg_has_the_same_modules() -> None:
    (code,) = codes_of("https://www.example.com/x9", SHOW)
    side = len(pixels_of(code.image(Format.PNG, scale=1)))
    assert f'width="{side}" height="{side}"'.encode() in code.image(Format.SVG, scale=1)


def test_a_campaign_takes_the_place_of_the_one_that_the_address_had() -> None:
    url = tagged_url("https://www.example.com/?utm_source=old&a&b=1&utm_medium=mail", {"source": "new"})
    assert url == "https://www.example.com/?a&b=1&utm_source=new&utm_medium=qr"


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("https://www.example.com/?tel=13812345678", ""),
        ("https://www.example.com/", "li@example.com"),
        ("https://li:secret@www.example.com/", ""),
        ("weixin://dl/business", ""),
        ("//www.example.com/", ""),
        ("http://[::1", ""),
        ("https://www.example.com/" + "a" * 2_000, ""),
    ],
)
def test_no_code_carries_a_person_or_leads_nowhere(url: str, content: str) -> None:
    with pytest.raises(Refused):
        codes_of(url, {"content": content})


def test_each_stand_has_a_code_of_its_own() -> None:
    codes = codes_of("https://www.example.com/", SHOW, each=["A 馆", "../b"])
    files = named(codes, "秋季试驾", Format.PNG)
    assert set(files) == {"秋季试驾-A-馆.png", "秋季试驾-b.png"}
    assert [scanned(code.image()).partition("utm_content=")[2] for code in codes] == ["A+%E9%A6%86", "..%2Fb"]
    for unclear in (["a", "a"], ["a", ""]):
        with pytest.raises(Refused):
            codes_of("https://www.example.com/", SHOW, each=unclear)
    with pytest.raises(Refused):
        named([Code("a b", "https://x.example"), Code("a/b", "https://y.example")], "", Format.PNG)


def test_the_command_writes_a_file_for_each_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = [
        "qr",
        "https://www.example.com/x9",
        "--campaign",
        "autumn",
        "--each",
        "a, b",
        "--out",
        str(tmp_path),
        "--json",
    ]
    assert run(call) == 0
    told = json.loads(capsys.readouterr().out)["codes"]
    assert [(code["content"], scanned(Path(code["file"]).read_bytes())) for code in told] == [
        (content, f"https://www.example.com/x9?utm_medium=qr&utm_campaign=autumn&utm_content={content}")
        for content in ("a", "b")
    ]
    assert run(["qr", "not-an-address", "--campaign", "autumn"]) == 2
