"""The ready segments are segments, ask for what they need, and say in their sentence what they are for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from segments.faults import MalformedSegment
from segments.language import parse
from segments.sentence import sentence
from segments.templates import templates
from tests.segments.examples import TZ

SAID = {
    "viewed_without_contact": (
        "符合以下条件的人：发生过 model_page_viewed（stay_seconds ≥ 10），"
        "此后已过 2 小时（不满 14 天）仍没有 lead_submitted（按 model_id 分别判断）。"
    ),
    "sleeping_leads": (
        "符合以下条件的线索：stage 是“战败”、“长期未转化”之一；并且 created_at 距今超过 180 天；"
        "并且最近 180 天内没有发生过 sales_call 或 wecom_message_in 或 page_viewed。"
    ),
    "frequent_visitors": "符合以下条件的人：最近 14 天内有 model_page_viewed（series 是“蒙迪欧”）的不同天数 ≥ 3。",
    "first_service_due": (
        "符合以下条件的人：delivered_at 距今超过 150 天；并且 delivered_at 距今不超过 210 天；"
        "并且没有发生过 first_service_done。"
    ),
    "first_touch": "符合以下条件的人：首次任意事件（$campaign.source 有值）的 $campaign.source 是“懂车帝”。",
    "test_drive_not_done": (
        "符合以下条件的线索：created_at 距今超过 1 天；并且从 created_at 的时刻起 365 天内没有发生过 test_drive_done。"
    ),
}


@pytest.mark.parametrize(("name", "chinese"), SAID.items())
def test_a_template_with_its_defaults_says_what_it_is_for(name: str, chinese: str) -> None:
    assert sentence(parse(templates()[name].filled(), tz=TZ), "zh") == chinese


def test_there_are_the_six_cases() -> None:
    assert set(templates()) == set(SAID)


@pytest.mark.parametrize("name", templates())
def test_every_parameter_is_used_and_every_place_has_one(name: str) -> None:
    template = templates()[name]
    places = set(re.findall(r"'\{(\w+)\}'", str(template.document)))
    assert places == {parameter.name for parameter in template.parameters}
    assert set(template.title) == {"zh", "en"}


SAMPLES: dict[str, Any] = {
    "event": "seats_viewed",
    "property": "trim",
    "attribute": "bought_at",
    "text": "it's “quoted”",
    "texts": ["a", "b"],
    "number": 7,
    "duration": "P100D",
}


@pytest.mark.parametrize(
    ("name", "parameter"),
    [(name, each.name) for name, template in templates().items() for each in template.parameters],
)
def test_a_parameter_takes_what_its_kind_says(name: str, parameter: str) -> None:
    template = templates()[name]
    [kind] = [each.kind for each in template.parameters if each.name == parameter]
    values = {parameter: SAMPLES[kind]}
    if parameter == "wait" and name == "viewed_without_contact":
        values["until"] = "P200D"
    parse(template.filled(values), tz=TZ)
    assert template.filled(values) != template.filled()


def test_a_value_is_put_in_as_it_is_and_never_read_again() -> None:
    filled = templates()["first_touch"].filled({"channel": "{property}"})
    assert filled["where"]["value"] == "{property}"


def test_a_parameter_that_a_template_lacks_is_refused_by_name() -> None:
    with pytest.raises(MalformedSegment) as refused:
        templates()["first_touch"].filled({"chanel": "x"})
    [fault] = refused.value.faults
    assert (fault.path, fault.help) == ("chanel", "Did you mean channel?")
