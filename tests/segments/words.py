"""The few words of which worlds and segments are made, so that they meet."""

from __future__ import annotations

NAMES = ("viewed", "lead", "看车", 'it\'s \\ "x" %s {a:String}')
"""Of events."""
OFTEN = (*NAMES[:1] * 4, *NAMES[1:2] * 2, *NAMES)
PROPERTIES = ("model", "price", "a.b", "when", "车型's", "p.q.r", "tags", 'back\\slash`"')
WAYS = {
    "a.b": (("a.b",), ("a", "b")),
    "p.q.r": (("p", "q", "r"), ("p.q", "r"), ("p", "q.r"), ("p.q.r",)),
}
"""How a name with dots may lie in nested objects."""
TRAITS = ("city", "score", "delivered_at", "tags", "it's \\ `\"")

SCALARS = ("A", 1, "B", 2, 1.0, True, "1", 0, "", "北京", -1, 2.5, False, -0.0, "a%_'\\", "长" * 300, "ab", "true")
NUMBERS = (1, 2, 0, 3, 1.0, -1, 2.5)
VALUES = (*SCALARS, None, ["A", 1], [], ["北京", True, 2.5, None], {"x": 1}, "null", "nul\0", "😀", "A")

FIELDS = ("$page.path", "$campaign.source", "$platform", "$source", "$type", "$device.kind")
CAMPAIGNS, PATHS, PLATFORMS = ("", "懂车帝", "bd"), ("/a", "", "/b'"), ("web", "", "ios")
FIELD_VALUES = (*PATHS, *CAMPAIGNS, *PLATFORMS, "track", "site")

SOURCES, CHANNELS, STAGES, OWNERS = ("site", "crm"), ("懂车帝", None, "site", ""), ("new", "战败", "won"), (None, "li")
"""Of leads."""
