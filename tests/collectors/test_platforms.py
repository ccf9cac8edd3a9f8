"""Platforms of apps, as systems and devices are spelled by all SDKs."""

from __future__ import annotations

import pytest

from collectors.platforms import app_platform, handset


@pytest.mark.parametrize(
    ("system", "platform"),
    [("iPadOS", "ios"), ("Android", "android"), ("HarmonyOS", "harmony"), ("Harmony", "harmony"), ("Windows", "")],
)
def test_a_system_tells_the_platform_of_an_app(system: str, platform: str) -> None:
    assert app_platform(system) == platform


@pytest.mark.parametrize(
    ("told", "kind"), [("iPad13,4", "tablet"), ("PAD", "tablet"), ("V2307A", "mobile"), ("", "mobile")]
)
def test_a_type_or_a_model_tells_a_tablet(told: str, kind: str) -> None:
    assert handset(told) == kind
