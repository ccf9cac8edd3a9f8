"""Who is who: which identifiers are one person, as a pure function of the evidence that was kept.

`kinds` is the policy, `normalise` makes values comparable, `observation` holds the nouns, and `resolve` is the pure
resolver (evidence and policy in, partition out). `graph` is the port of the graph store, `graph_sql` its adapter for
SQLite and PostgreSQL. `engine` takes evidence in and answers; `settle` draws only those conclusions anew that new
evidence can change, so that they stay equal to what the resolver would say; `changes` names what became of persons.
"""
