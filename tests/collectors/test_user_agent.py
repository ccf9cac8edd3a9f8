"""Devices by their User-Agent header."""

from __future__ import annotations

import pytest

from cdp.model import NO_DEVICE
from collectors.user_agent import device_of

SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"
IOS = "CPU iPhone OS 17_0 like Mac OS X"


@pytest.mark.parametrize(
    ("user_agent", "kind", "os", "browser"),
    [
        (f"(iPhone; {IOS}) {SAFARI} Mobile/15E148 MicroMessenger/8.0.49", "mobile", "iOS", "WeChat Browser"),
        (
            f"(iPad; CPU OS 17_0 like Mac OS X) {SAFARI} Version/17.0 Mobile/15E148",
            "tablet",
            "iOS",
            "Mobile Safari UI/WKWebView",
        ),
        (f"(Linux; Android 14; SM-X710) {CHROME} Safari/537.36", "tablet", "Android", "Chrome"),
        (f"(Linux; Android 14; 2201123C) {CHROME} Mobile Safari/537.36", "mobile", "Android", "Chrome Mobile"),
        (f"(Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", "desktop", "Windows", "Chrome"),
        (f"(X11; GNU/Linux) {CHROME} Safari/537.36 Tesla/2023.44", "car", "Linux", "Chrome"),
        ("(compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)", "bot", "", "Baiduspider"),
    ],
)
def test_devices_are_told_apart(user_agent: str, kind: str, os: str, browser: str) -> None:
    device = device_of(f"Mozilla/5.0 {user_agent}")
    assert (device.kind, device.os, device.browser) == (kind, os, browser)


@pytest.mark.parametrize("user_agent", ["", "UA", "analytics-python/2.2.2"])
def test_what_is_no_browser_is_no_device(user_agent: str) -> None:
    assert device_of(user_agent) == NO_DEVICE


def test_an_endless_header_costs_no_more_than_a_long_one() -> None:
    assert device_of("x" * 500 + "Chrome/130" * 10_000) == device_of(("x" * 500 + "Chrome/130" * 10_000)[:512])
