"""Who is who on made-up streams of car buyers: precision, recall and F1 of pairs, and what spoils them.

    python -m bench.identity_stream [--people 5000] [--seeds 1 2 3] [--zoo 1 2]

Beside the resolver stand plain connected components, as the contrast, and the ceiling: the best F1 that this evidence
allows. Then, by the creature of the zoo that made the values: pairs joined wrongly, and pairs that the evidence holds
together and the resolver does not.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from itertools import combinations

from cdp.model import Identifier
from identity.kinds import BUILT_IN
from identity.observation import Observation
from identity.resolve import Resolution, resolve
from tests.buyers import Stream
from tests.score import Persons, attributed, ceiling, connected, score
from tests.streams import car_buyers

ORDINARY = "ordinary life"


def measure(people: int, seed: int, zoo: float) -> tuple[Counter[str], Counter[str]]:
    """Print one stream's row; the causes of its wrong and of its missing pairs."""
    stream = car_buyers(people, seed, zoo=zoo)
    began = time.perf_counter()
    resolution = resolve(stream.observations, BUILT_IN)
    spent = time.perf_counter() - began
    found = attributed(stream.observations, resolution, BUILT_IN)
    best = ceiling(stream.observations, stream.truth, BUILT_IN)
    plain = score(connected(stream.observations, BUILT_IN), stream.truth)
    ours, possible = score(found, stream.truth), score(best, stream.truth)
    print(
        f"{zoo:>4} {seed:>4} {len(stream.observations):>13,}"
        f" {ours.precision:>10.4f} {ours.recall:>7.4f} {ours.f1:>7.4f}"
        f" {possible.f1:>8.4f} {ours.f1 / possible.f1:>10.2%} {plain.precision:>12.4f} {plain.f1:>7.4f} {spent:>8.1f} s"
    )
    alone = {key: person if person is not None else f"nobody {key}" for key, person in found.items()}
    return causes(stream, resolution, found, stream.truth), causes(stream, resolution, best, alone)


def causes(stream: Stream, resolution: Resolution, together: Persons, apart: Persons) -> Counter[str]:
    """The pairs that are one person's in `together` and two people's in `apart`, by the values common to both sides.

    A value is told by the creature that made it, its kind and its state. Several share the pairs between them; two
    sides without a common value, as the ends of a chain, count for all that hold their group together.
    """

    def names(values: Iterable[Identifier]) -> set[str]:
        return {
            f"{stream.creatures.get(each, ORDINARY)}: {each.kind} ({resolution.standings[each].state})"
            for each in values
            if BUILT_IN.links(each.kind)
        }

    found: defaultdict[str, float] = defaultdict(float)
    for group in _grouped(stream.observations, together).values():
        sides = [
            (len(side), {value for each in side for value in each.identifiers})
            for side in _grouped(group, apart).values()
        ]
        common = [(one * other, names(its & others)) for (one, its), (other, others) in combinations(sides, 2)]
        everything = set().union(*(named for _, named in common))
        for pairs, named in common:
            for name in named or everything:
                found[name] += pairs / len(named or everything)
    return Counter({name: round(pairs) for name, pairs in found.items()})


def _grouped(observations: Iterable[Observation], persons: Persons) -> dict[Hashable, list[Observation]]:
    groups: dict[Hashable, list[Observation]] = defaultdict(list)
    for each in observations:
        if persons[each.id] is not None:
            groups[persons[each.id]].append(each)
    return groups


def show(title: str, found: Counter[str]) -> None:
    print(f"\n{title}: {found.total():,.0f} pairs")
    for cause, pairs in found.most_common(12):
        print(f"  {pairs / found.total():>6.1%}  {cause}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the resolver on made-up streams of car buyers.")
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--zoo", type=float, nargs="+", default=[1.0, 2.0])
    options = parser.parse_args()
    print(" zoo seed  observations  precision  recall      F1  ceiling  of ceiling  components: P      F1    resolve")
    wrong, lost = Counter[str](), Counter[str]()
    for zoo in options.zoo:
        for seed in options.seeds:
            for total, one in zip((wrong, lost), measure(options.people, seed, zoo), strict=True):
                total.update(one)
    show("Joined wrongly", wrong)
    show("Held together by the evidence, and not joined", lost)


if __name__ == "__main__":
    main()
