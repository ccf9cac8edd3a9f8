"""Who is who: which identifiers are one person, as a pure function of the evidence that was kept.

`normalise` makes values comparable, `observation` holds the nouns, `resolve` is the pure resolver (evidence and
policy in, partition out), `graph` is the port of the graph store with `graph_sql` beside it, and `engine` keeps
the stored conclusions equal to what the resolver would say.
"""
