"""What SDKs write where they found nothing, which must not be taken for a value: Sensors' and ThinkingData's."""

from __future__ import annotations

import json

import msgspec

PLACEHOLDERS = (
    "未取到值", "未取到值_直接打开", "未取到值_非http的url", "未取到", "取值异常", "直接打开", "url的domain解析失败",
    "未知搜索引擎", "系统没有取到值",
)  # fmt: skip

_WHOLE = frozenset(PLACEHOLDERS)
_SIGNS = ("未取到", "取值异常", "直接打开", "解析失败", "未知搜索引擎", "没有取到")
_MARKS = tuple(text.encode() for sign in _SIGNS for text in (sign, json.dumps(sign)[1:-1]))
"""As it is in most bodies, and escaped."""


def is_placeholder(value: object) -> bool:
    return value in _WHOLE if isinstance(value, str) else False


def without_placeholders(properties: bytes, preset: str | tuple[str, ...]) -> bytes:
    """The JSON object with null for placeholders, in properties that begin with `preset` only: in a team's own the
    same words may be what a visitor wrote."""
    if not any(mark in properties for mark in _MARKS):
        return properties
    said = msgspec.json.decode(properties)
    for name, value in said.items():
        if name.startswith(preset) and is_placeholder(value):
            said[name] = None
    return msgspec.json.encode(said)
