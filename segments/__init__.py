"""Segments: a rule about people or leads, said once and meant exactly.

`tree` holds the nouns. `language` reads the JSON of a definition (`reading` is the careful look at it, `parts`,
`windows`, `aggregates` and `comparison` what leaves are made of) and `written` writes it again; `schema` is the
published JSON Schema. `normal` makes definitions that mean the same equal, `sentence` reads one aloud in Chinese and
English, `check` compares it with what is known, `templates` are ready ones to begin with.

From a definition to an answer: `evaluate` is asked; `sql` makes the one query, in which `sql_leaves` tells each leaf's
truth and when it can change (`sql_did` of figures, `sql_windows` and `sql_tried` of their windows, `sql_spans` and
`sql_sequence` of what is about the order of events), over what `sql_source` reads of each unit in passes (`sql_pass`;
`sql_rows`, with types by `sql_values`; `sql_fold` of attributes). `verdict` says what comes out.

From an event to a change: a row of `cdp.segment_work` waits for `live`, which goes round by round (`live_rounds`): whom
it is about (`live_touched`, by `mentions`), what is said of them (`live_looks`), why somebody came or went
(`live_causes`), and all of it written at once (`live_writing`: `stays`, `timers`, `health`). `live_passes` goes over
everybody between rounds, piece by piece (`pieces`): to fill, and once an hour to compare.

For whoever asks: `book` keeps the definitions, `members` reads who is and was in, `desk` answers the rest, after
`fresh` brought what waits into the mirrors.
"""
