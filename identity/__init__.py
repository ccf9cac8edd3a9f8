"""Who is who: which identifiers are one person, as a pure function of the evidence that was kept.

Rules: `kinds` is the policy and `policy_file` its file, `normalise` makes values comparable, `observation` holds the
nouns of evidence. `ownership` says whose a value was and when, `resolve` is the pure resolver (evidence and policy in,
partition out), `attribution` says whose an event is.

Stores: `graph` is the port, `graph_sql` its adapter for SQLite and PostgreSQL, `graph_neo4j` that for Neo4j.

At work: `verbs` says what can be done, `engine` does it: takes evidence in and takes it back. Of several processes one
has the engine; the others have a `remote` one, which `calls` it through its `leader`. `settle` draws only those
conclusions anew that this can change, on a `desk` of values, and `regroup` forms the persons; `rebuild` derives
everything again, to check or to change the policy, and `erase` forgets a person. `who` answers, `explain` and
`sentences` say why, `steward` is for people's words, `reviews` for likely matches that wait for one; `changes` names
what became of persons. `offline` does all of it for a file; `matching` finds records that are alike.
"""
