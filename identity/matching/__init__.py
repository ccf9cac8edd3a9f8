"""Similar records: which rows of a file are one person, where no identifier says so.

`columns` says what a file holds, `normalise` makes values comparable, `records` holds them in numbers. `blocking`
proposes pairs, `compare` and `pairs` turn them into levels of agreement, `fellegi_sunter` learns without labels what
each level tells, with `dependence` for what one column repeats of another. `model` is the frozen result, `score` the
function of two records and a model, `cluster` draws persons from scored pairs. `match` is the verb; `tables` reads and
writes its files. Nothing here writes to the identity graph: what is found is a proposal.
"""
