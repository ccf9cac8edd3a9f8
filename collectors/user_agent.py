"""What a User-Agent header says of the device. The parser's rules take 40 MB, so only who translates loads them."""

from __future__ import annotations

from functools import lru_cache

from cdp.model import NO_DEVICE, Device

CACHED = 10_000
LONGEST = 512
"""Characters looked at; real ones have up to 300."""

_DESKTOPS = ("Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS")
_TVS = ("SmartTV", "Smart TV", "AppleTV", "GoogleTV", "BRAVIA", "Web0S", "Tizen TV")
_CARS = ("QtCarBrowser", "Tesla/", "Android Automotive", "; Car;")


def device_of(user_agent: str) -> Device:
    """The device, browser and system; NO_DEVICE for '' and for what is no browser, such as a server's client."""
    return _parsed(user_agent[:LONGEST]) if user_agent else NO_DEVICE


@lru_cache(maxsize=CACHED)
def _parsed(user_agent: str) -> Device:
    import ua_parser

    found = ua_parser.parse(user_agent)
    system, browser, device = found.os, found.user_agent, found.device
    if system is None and browser is None and device is None:
        return NO_DEVICE
    os = system.family if system else ""
    return Device(
        kind=_kind(user_agent, os, device.family if device else ""),
        os=os,
        os_version=_version(system.major, system.minor, system.patch) if system else "",
        browser=browser.family if browser else "",
        model=(device.model or "") if device else "",
    )


def _kind(user_agent: str, os: str, family: str) -> str:
    if family == "Spider":
        return "bot"
    if any(mark in user_agent for mark in _CARS):
        return "car"
    if any(mark in user_agent for mark in _TVS):
        return "tv"
    if "iPad" in user_agent or "Tablet" in user_agent or (os == "Android" and "Mobile" not in user_agent):
        return "tablet"
    if "Mobi" in user_agent or os in ("iOS", "Android", "HarmonyOS"):
        return "mobile"
    return "desktop" if os in _DESKTOPS else ""


def _version(*parts: str | None) -> str:
    return ".".join(part for part in parts if part)
