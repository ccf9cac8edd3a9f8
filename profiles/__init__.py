"""What we know about a person: trail, traits and interests, all computed when read.

`store` is the port of the event store, `events_clickhouse` its adapter (embedded or a server, the same engine), with
its tables in `events.sql` and their rows in `rows`. `traits` folds trait rows, `profile` reads one person's through a
cache, `interests` scores the topics of `topics.toml` and tells them in a paragraph.
"""
