"""Segments: a rule about people or leads, said once and meant exactly.

`tree` holds the nouns. `language` reads the JSON of a definition (`reading` is the careful look at it, `parts`,
`windows`, `aggregates` and `comparison` what leaves are made of) and `written` writes it again; `schema` is the
published JSON Schema. `normal` makes definitions that mean the same equal, `sentence` reads one aloud in Chinese and
English, `check` compares it with what is known, `templates` are ready ones to begin with.
"""
