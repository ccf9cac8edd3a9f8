"""What we know about a person: trail, traits and interests, all computed when read.

`store` is the port of the event store, `events_clickhouse` its adapter (embedded or a server, the same engine); beside
it stand how the engine is reached (`…_client`), where its tables lie (`…_tables`, `events.sql`), its conditions
(`…_where`), its mirror of owners (`…_mirror`) and `rows`. `whose` says whose an event is, `owners` keeps the mirror for
questions about many persons at once. `traits` folds trait rows, `profile` reads one person's through a cache,
`interests` scores the topics of `topics.toml` and tells them in a paragraph.
"""
