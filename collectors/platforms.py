"""Platforms of apps, and what a person holds in her hand there.

An app's User-Agent is that of its HTTP client, or of a gateway, so what the SDK tells of the device counts.
"""

from __future__ import annotations

APPS = frozenset({"ios", "android", "harmony"})

_SYSTEMS = {"ios": "ios", "ipados": "ios", "android": "android", "harmonyos": "harmony", "harmony": "harmony"}
_TABLETS = ("ipad", "pad", "tablet")


def app_platform(system: str) -> str:
    """The platform of an app on this operating system, '' where apps are not told apart by it."""
    return _SYSTEMS.get(system.lower(), "")


def handset(told: str) -> str:
    """The kind of device of an app, by the type or the model that its SDK tells."""
    return "tablet" if told.lower().startswith(_TABLETS) else "mobile"
