"""The ground and the roof of Xunji: what everything else stands on, and what puts it together.

Ground: `model` (the nouns), `errors`, `log` (accepted hits, in order), `vault` (tokens in place of personal data),
`records` (the SQL store that everyone shares), `settings`. Roof: `pipeline` (the path of an event as a list of
steps), `wiring` (the one place that names adapters) and `cli` (the command `cdp`).
"""
