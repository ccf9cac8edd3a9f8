"""Greedy additive edge contraction: from scored pairs to persons, without chains.

Two clusters are joined while the sum of the scores between them is the greatest of all and high enough; a pair that
was never compared counts a little against. One strong pair so cannot pull two groups together that disagree
otherwise, as connected components would. (Keuper et al., Efficient Decomposition of Image and Mesh Graphs by Lifted
Multicuts, 2015.)
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

import numpy as np

from identity.matching.records import Codes
from identity.matching.score import Scores

PENALTY = 1.0
"""What a pair that was never compared counts against joining, in natural log-odds."""


def contract(count: int, left: Codes, right: Codes, scores: Scores, *, least: float) -> Codes:
    """The cluster of each of `count` records, named by the smallest place among its members.

    `scores` are log-odds; two clusters are joined while the sum between them is above `least`, that is while all
    their pairs together make one person that likely. Ties are broken by place, and so by id.
    """
    hopeful = components(count, left[scores > least], right[scores > least])
    inside = hopeful[left] == hopeful[right]
    graph = _Graph(count, left[inside].tolist(), right[inside].tolist(), scores[inside].tolist())
    heap = [(-score, one, other) for one, other, score in graph.edges() if score > least]
    heapify(heap)
    while heap:
        score, one, other = heappop(heap)
        if graph.score(one, other) != -score:
            continue
        graph.join(one, other)
        for neighbour in graph.between[one]:
            joined = graph.score(one, neighbour)
            if joined is not None and joined > least:
                heappush(heap, (-joined, min(one, neighbour), max(one, neighbour)))
    return _roots(np.array(graph.into, np.int64))


class _Graph:
    """Clusters and what their pairs sum to; `between[a][b]` is (sum of scores, number of compared pairs)."""

    def __init__(self, count: int, left: list[int], right: list[int], scores: list[float]) -> None:
        self.into = list(range(count))
        self.between: dict[int, dict[int, tuple[float, int]]] = {}
        for one, other, score in zip(left, right, scores, strict=True):
            self.between.setdefault(one, {})[other] = (score, 1)
            self.between.setdefault(other, {})[one] = (score, 1)
        self.size = dict.fromkeys(self.between, 1)

    def edges(self) -> Iterator[tuple[int, int, float]]:
        for one, others in self.between.items():
            for other, (score, _) in others.items():
                if one < other:
                    yield one, other, score

    def score(self, one: int, other: int) -> float | None:
        """The sum between two clusters, or None where one of them is no more."""
        edge = self.between.get(one, {}).get(other)
        return None if edge is None else edge[0] - PENALTY * (self.size[one] * self.size[other] - edge[1])

    def join(self, one: int, other: int) -> None:
        """Take `other` into `one`."""
        self.into[other] = one
        self.size[one] += self.size.pop(other)
        mine = self.between[one]
        del mine[other]
        for node, (score, compared) in self.between.pop(other).items():
            theirs = self.between[node]
            theirs.pop(other, None)
            if node != one:
                had = mine.get(node, (0.0, 0))
                mine[node] = theirs[one] = (had[0] + score, had[1] + compared)


def components(count: int, left: Codes, right: Codes) -> Codes:
    """Connected components, each named by its smallest member: labels sink along edges until none changes."""
    label = np.arange(count)
    while True:
        low = np.minimum(label[left], label[right])
        new = label.copy()
        np.minimum.at(new, label[left], low)
        np.minimum.at(new, label[right], low)
        new = _roots(new)
        if np.array_equal(new, label):
            return label
        label = new


def _roots(into: Codes) -> Codes:
    while not np.array_equal(into, into[into]):
        into = into[into]
    return into
