"""The few words of which one world and the segments about it are made, so that they meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import NoneType
from typing import Any

from segments.tree import Absent, Attr, Calendar, Did, Fixed, Fn, In, Rel, Rolling, Sample, Seq, Since
from tests.segments.choices import Choices

NAMES = ("viewed", "lead", "看车", 'it\'s \\ "x" %s {a:String}', "a.b")
PROPERTIES = ("model", "price", "a.b", "车型's", "p.q.r", 'back\\slash`"', "tags")
WAYS = {
    "a.b": (("a.b",), ("a", "b")),
    "p.q.r": (("p", "q", "r"), ("p.q", "r"), ("p", "q.r"), ("p.q.r",)),
}
"""How a name with dots may lie in nested objects."""
WHEN = "when"
"""A property that often holds a moment."""
TRAITS = ("city", "score", "it's \\ `\"", "tags")
DELIVERED = "delivered_at"
"""A trait that often holds a moment."""
FIELDS = ("$page.path", "$campaign.source", "$platform", "$source", "$type", "$device.kind")

LOOKALIKES = (
    ("A", "B", "ab"),
    (1, 1.0, True, "1"),
    (0, -0.0, False, "", "0"),
    ("北京", "北", ["北京", True], "京"),
    (2.5, -1, 3, "2.5"),
    (1, ["A", 1.0], [True], "A", []),
    ("true", True, "null", "None"),
    ("a%_'\\", "'", "_'\\", "\\"),
    ("长" * 300, "长" * 299, "😀", "\uffff"),
    ("A", {"x": 1}, "nul\0"),
)
"""Values that are easily taken for one another."""
NUMBERS = (1, 2, 0, 3, 1.0, -1, 2.5)
CAMPAIGNS, PATHS, PLATFORMS = ("", "懂车帝", "bd"), ("/a", "", "/b'"), ("web", "", "ios")
FIELD_VALUES = (*PATHS, *CAMPAIGNS, *PLATFORMS, "track", "site")

SOURCES, CHANNELS, STAGES, OWNERS = ("site", "crm"), ("懂车帝", None, "site", ""), ("new", "战败", "won"), (None, "li")
"""Of leads."""

LEAVES = (Did, Did, Did, Did, Seq, Absent, Absent, Attr, Rel, In, Sample)
FNS = (*Fn, Fn.COUNT, Fn.COUNT, Fn.COUNT, Fn.SINCE_LAST)
WINDOWS = (NoneType, NoneType, Rolling, Rolling, Rolling, Calendar, Calendar, Fixed, Since)
"""What is asked, the commoner oftener."""


@dataclass(frozen=True)
class Words:
    names: tuple[str, ...]
    """Of events, the first ones oftener."""
    properties: tuple[str, ...]
    traits: tuple[str, ...]
    fields: tuple[str, ...]
    values: tuple[Any, ...]
    leaf: type = Did
    """The leaf, aggregate and kind of window that are asked for most."""
    fn: Fn = Fn.COUNT
    window: type = NoneType

    def about(self, subject: type | Fn) -> Words:
        """The same, of which mostly this is asked."""
        if isinstance(subject, Fn):
            return replace(self, leaf=Did, fn=subject)
        return replace(self, leaf=subject) if subject in LEAVES else replace(self, leaf=Did, window=subject)

    @property
    def scalars(self) -> tuple[Any, ...]:
        return tuple(each for each in self.values if isinstance(each, str | int | float) and each != "nul\0")


def draw_words(choices: Choices) -> Words:
    names = choices.some(NAMES, most=3)
    return Words(
        names=(*names, *names[:1]),
        properties=(*choices.some(PROPERTIES, most=3), WHEN),
        traits=(*choices.some(TRAITS), DELIVERED),
        fields=choices.some(FIELDS),
        values=tuple(each for group in choices.some(LOOKALIKES, most=3) for each in group),
        leaf=choices.of(LEAVES),
        fn=choices.of(FNS),
        window=choices.of(WINDOWS),
    )
