"""The management API: everything that people and scripts ask of a running system, over FastAPI.

`app` puts it together; one router per noun (`sources`, `accounting`, `hits`, `events`, `persons`, `leads`, `replays`,
`keyring`). `gate` lets a request in, `permissions` says which role may do what, `errors` is the one table from our
errors to answers, `shapes` are the answers themselves, `showing` decides how much of a personal value is seen.
"""
