"""What we know about a person: trail, traits and interests, all computed when read.

`store` is the port of the event store, `events_clickhouse` its adapter (embedded or a server, the same engine),
`traits` folds trait rows, `interests` scores topics.
"""
