"""Ready segments to begin with: `templates.toml` holds them, a form asks for their parameters."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from segments.faults import Fault, MalformedSegment, suggestion
from segments.phrases import Lang

Kind = Literal["event", "property", "attribute", "text", "texts", "number", "duration"]


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: Kind
    default: Any
    title: Mapping[Lang, str]


@dataclass(frozen=True, slots=True)
class Template:
    id: str
    title: Mapping[Lang, str]
    parameters: tuple[Parameter, ...]
    document: Any

    def filled(self, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The definition as JSON, with defaults for what is not in `values`; `language.parse` says whether it is one.

        Raises MalformedSegment where a value is for no parameter.
        """
        given = values or {}
        names = [parameter.name for parameter in self.parameters]
        strange = [name for name in given if name not in names]
        if strange:
            expected = f"one of {', '.join(names)}"
            advice = "Take it out; the template has no such parameter."
            raise MalformedSegment(
                Fault(name, expected, "a parameter", suggestion(name, names, otherwise=advice)) for name in strange
            )
        put = {f"{{{each.name}}}": given.get(each.name, each.default) for each in self.parameters}
        filled: dict[str, Any] = _filled(self.document, put)
        return filled


@cache
def templates() -> Mapping[str, Template]:
    text = resources.files("segments").joinpath("templates.toml").read_text("utf-8")
    return {id_: _template(id_, table) for id_, table in tomllib.loads(text).items()}


def _template(id_: str, table: Mapping[str, Any]) -> Template:
    parameters = tuple(
        Parameter(name, each["kind"], each["default"], {"zh": each["zh"], "en": each["en"]})
        for name, each in table["parameters"].items()
    )
    return Template(id_, table["title"], parameters, json.loads(table["definition"]))


def _filled(value: Any, put: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, put) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, put) for each in value]
    return put.get(value, value) if isinstance(value, str) else value
