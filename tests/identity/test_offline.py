"""Who is who from a file: worked cases, the same bytes for any order of lines, and files whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.errors import ConfigurationError
from identity.kinds import BUILT_IN, Policy
from identity.observation import pid
from identity.observation_file import nobody
from identity.offline import Summary, resolve_file
from tests.identity.makers import SMALL, identifier
from tests.streams import car_buyers, write_jsonl

Line = dict[str, Any]
MINUTE = 1 / 24 / 60


def seen(name: str, *texts: str, day: float | str = 0, strength: int = 1, **more: Any) -> Line:
    """A line of observation, its identifiers as `kind:value`."""
    met = [dict(zip(("kind", "value"), text.split(":", 1), strict=True)) for text in texts]
    return {"id": name, "occurred_at": day, "strength": strength, "identifiers": met, **more}


class Run:
    """`identity resolve` on files of a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.file, self.out = folder / "seen.jsonl", folder / "who.csv"
        self.values, self.rejected = folder / "who.csv.values.csv", folder / "who.csv.rejected.jsonl"
        self.folder = folder

    def __call__(
        self, *lines: Line | str | bytes, policy: Policy = BUILT_IN, skip_bad: bool = False, region: str = "CN"
    ) -> Summary:
        self.file.write_bytes(b"".join(_bytes(line) + b"\n" for line in lines))
        return resolve_file(self.file, self.out, policy, region=region, skip_bad=skip_bad, tell=nobody)

    @property
    def written(self) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in self.folder.iterdir() if each != self.file}

    def rows(self) -> dict[str, str]:
        with self.out.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert header == ["observation", "person"]
        assert rows == sorted(rows)
        return dict(rows)  # type: ignore[arg-type]

    def whose(self, *names: str) -> dict[str, str]:
        """Whose each observation is, by the identifier that names the person (`kind:value`, or one with its owner)."""
        names_by_pid = {str(_pid(name)): name for name in names}
        return {key: names_by_pid.get(person, person) for key, person in self.rows().items()}

    def states(self) -> dict[str, tuple[str, str]]:
        with self.values.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert header == ["kind", "value", "state", "reason"]
        assert rows == sorted(rows)
        return {f"{kind}:{value}": (state, reason) for kind, value, state, reason in rows}


def _bytes(line: Line | str | bytes) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode()


def _pid(name: str) -> str:
    text, _, owner = name.partition(" of ")
    return pid(identifier(text), owner)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


# Worked cases


def test_a_small_file_byte_for_byte(run: Run) -> None:
    summary = run(
        seen("a1", "anonymous_id:web-9", "member_id:M1", day="2026-11-01T08:00:00+08:00", strength=4),
        seen("a2", "anonymous_id:web-9", day="2026-11-02T08:00:00+08:00"),
        seen("a3", "phone:138 1234 5678", "name:Li, Na", "member_id:M1", day=20_000, strength=2),
        seen("b1", "phone:13800138000", "name:Li, Na", day=20_001, strength=2),
        seen("b2", "vin:none", day=20_001),
    )
    assert run.out.read_text() == (
        "observation,person\n"
        "a1,553aace5-a59c-84d5-8404-2f0f9e5e0031\n"
        "a2,553aace5-a59c-84d5-8404-2f0f9e5e0031\n"
        "a3,553aace5-a59c-84d5-8404-2f0f9e5e0031\n"
        "b1,\n"
        "b2,\n"
    )
    assert run.values.read_text() == (
        "kind,value,state,reason\n"
        "anonymous_id,web-9,link,\n"
        "member_id,M1,link,\n"
        'name,"li, na",evidence,name is counted and never linked on\n'
        "phone,+8613800138000,blocked,a placeholder that many people type\n"
        "phone,+8613812345678,link,\n"
        "vin,none,blocked,cannot be a value of vin\n"
    )
    assert summary == Summary(
        observations=5,
        persons=1,
        nobodys=2,
        contradictions=0,
        retracted=0,
        rejected=0,
        values={"blocked": 2, "evidence": 1, "link": 3},
        policy=BUILT_IN.name,
    )


def test_an_empty_file_has_no_rows(run: Run) -> None:
    run()
    assert run.written == {
        "who.csv": b"observation,person\n",
        "who.csv.values.csv": b"kind,value,state,reason\n",
    }


def test_a_person_is_named_by_her_identifier_that_was_observed_first(run: Run) -> None:
    run(
        seen("o1", "member_id:M1", "phone:13812345678", day=9, strength=4),
        seen("o2", "phone:13812345678", "anonymous_id:a", day=3),
        seen("o3", "anonymous_id:a", "device_id:d", day=3),
    )
    # Two were first observed on day 3 at the latest; the tie is decided by the identifier.
    assert set(run.whose("anonymous_id:a").values()) == {"anonymous_id:a"}


def test_a_recycled_number_is_two_peoples_one_after_the_other(run: Run) -> None:
    run(
        seen("old-1", "phone:13812345678", "member_id:M1", day=0, strength=5),
        seen("old-2", "phone:13812345678", day=40),
        seen("new-1", "phone:13812345678", "member_id:M2", day=200, strength=5),
        seen("new-2", "phone:13812345678", "lead_id:L", day=260),
    )
    assert run.whose("member_id:M1", "member_id:M2") == {
        "old-1": "member_id:M1",
        "old-2": "member_id:M1",
        "new-1": "member_id:M2",
        "new-2": "member_id:M2",
    }
    state, reason = run.states()["phone:+8613812345678"]
    assert state == "link"
    assert reason == "from 1970-07-20T00:00:00.000Z on it is that of member_id:M2"


def test_a_second_hand_handset_goes_to_its_next_owner_at_once(run: Run) -> None:
    run(
        seen("o1", "device_id:handset-1", "member_id:M1", day=0, strength=4),
        seen("o2", "device_id:handset-1", "member_id:M1", day=50, strength=4),
        seen("o3", "device_id:handset-1", day=50.5),
        seen("o4", "device_id:handset-1", "member_id:M2", day=51, strength=4),
        seen("o5", "device_id:handset-1", day=52),
    )
    # The device was seen first of all, with the first member; its second life has a name of its own only inside.
    assert run.whose("device_id:handset-1", "member_id:M2") == {
        **dict.fromkeys(("o1", "o2", "o3"), "device_id:handset-1"),
        **dict.fromkeys(("o4", "o5"), "member_id:M2"),
    }


def test_what_happens_on_a_shared_tablet_is_the_sessions(run: Run) -> None:
    tablet = "device_id:tablet-1"
    run(
        seen("m1", tablet, "member_id:M1", day=10, strength=4),
        seen("m2", tablet, "member_id:M2", day=11, strength=4),
        seen("m1-again", tablet, "member_id:M1", day=12, strength=4),
        seen("after-m1", tablet, day=10 + 29 * MINUTE),
        seen("before-m2", tablet, day=11 - 29 * MINUTE),
        seen("at-night", tablet, day=11.5),
    )
    assert run.states()[tablet] == ("shared", "owned by more than one member_id at the same time")
    assert run.whose("member_id:M1", "member_id:M2") == {
        **dict.fromkeys(("m1", "m1-again", "after-m1"), "member_id:M1"),
        **dict.fromkeys(("m2", "before-m2"), "member_id:M2"),
        "at-night": "",
    }


def test_a_form_proves_no_session(run: Run) -> None:
    tablet = "device_id:tablet-1"
    run(
        *(seen(f"m{n}", tablet, f"member_id:M{n}", day=10 * n, strength=2) for n in range(5)),
        seen("later", tablet, day=20 + MINUTE),
    )
    assert run.states()[tablet][0] == "hub"
    assert run.whose()["later"] == ""


def test_a_login_that_contradicts_itself_proves_no_session(run: Run) -> None:
    tablet = "device_id:tablet-1"
    run(
        *(seen(f"m{n}", tablet, f"member_id:M{n}", day=10 * n, strength=4) for n in range(5)),
        seen("both", tablet, "member_id:M1", "member_id:M2", day=99, strength=4),
        seen("later", tablet, day=99 + MINUTE),
    )
    assert run.whose()["later"] == ""


def test_an_observation_that_contradicts_itself_joins_nobody_and_has_a_row(run: Run) -> None:
    summary = run(
        seen("both", "member_id:M1", "member_id:M2", "device_id:handset-1", strength=4),
        seen("one", "member_id:M1", day=1),
        seen("two", "member_id:M2", day=1),
        seen("device", "device_id:handset-1", day=1),
    )
    assert summary.contradictions == 1
    assert run.whose("member_id:M1", "member_id:M2", "device_id:handset-1") == {
        "both": "member_id:M1",
        "one": "member_id:M1",
        "two": "member_id:M2",
        "device": "device_id:handset-1",
    }


def test_a_verdict_keeps_two_apart_and_has_no_row(run: Run) -> None:
    form = seen("form", "phone:13812345678", "email:li@example.com", strength=2)
    run(form)
    assert len(set(run.rows().values())) == 1
    run(
        form,
        seen("p", "phone:13812345678", day=1),
        seen("e", "email:li@example.com", day=1),
        seen("no", "phone:13812345678", "email:li@example.com", strength=9, verdict="different", day=2),
    )
    names = run.whose("phone:+8613812345678", "email:li@example.com")
    assert names == {"form": names["p"], "p": "phone:+8613812345678", "e": "email:li@example.com"}


def test_a_retraction_leaves_what_the_other_evidence_says(run: Run) -> None:
    summary = run(
        seen("login", "device_id:handset-1", "member_id:M1", day=0, strength=4),
        seen("slip", "device_id:handset-1", "phone:13812345678", day=1),
        seen("lost", "email:typo@example.com", day=2),
        seen("call", "phone:13812345678", day=3),
        {"id": "r1", "retract": "slip"},
        {"id": "r2", "retract": "lost"},
        {"id": "r3", "retract": "never there"},
    )
    assert summary.retracted == 2
    assert run.whose("device_id:handset-1", "phone:+8613812345678") == {
        "login": "device_id:handset-1",
        "slip": "phone:+8613812345678",
        "lost": "",
        "call": "phone:+8613812345678",
    }
    assert "email:typo@example.com" not in run.states()


def test_a_retracted_verdict_parts_nobody(run: Run) -> None:
    apart = seen("no", "member_id:M1", "email:li@example.com", strength=9, verdict="different")
    login = seen("login", "member_id:M1", "email:li@example.com", strength=4)
    run(login, apart, {"id": "r", "retract": "no"}, seen("e", "email:li@example.com"), seen("m", "member_id:M1"))
    assert len(set(run.rows().values())) == 1


def test_kinds_are_those_of_the_policy(run: Run) -> None:
    lines = [seen("o1", "member: M 1 ", "city:x"), seen("o2", "member:M 1"), seen("o3", "phone:13812345678", "vin:v")]
    run(*lines, policy=SMALL)
    assert run.whose("member: M 1 ", "member:M 1", "phone:+8613812345678") == {
        "o1": "member: M 1 ",
        "o2": "member:M 1",
        "o3": "phone:+8613812345678",
    }
    assert run.states()["vin:v"] == ("blocked", "cannot be a value of vin")
    run(*lines)
    assert run.states()["member: M 1 "] == ("evidence", "member is counted and never linked on")


def test_the_region_tells_whose_a_bare_number_is(run: Run) -> None:
    run(seen("o1", "phone:030 901820"), region="DE")
    assert "phone:+4930901820" in run.states()


def test_any_id_and_value_reads_back_from_the_csv(run: Run) -> None:
    names = ['say "hi"', "a,b", "two\nlines", "a\rreturn", "nul\0", " ", "车", "\u2028", "'"]
    run(*(seen(name, f"card:{name}") for name in names))
    assert set(run.rows()) == set(names)
    assert {each.removeprefix("card:") for each in run.states()} == set(names)


# Any order


def shuffled(lines: Sequence[Line], random: Random) -> list[Line]:
    lines = [
        {**line, "identifiers": random.sample(met, len(met))} if (met := line.get("identifiers")) else line
        for line in lines
    ]
    return random.sample(lines, len(lines))


IDENTIFIERS = [
    "member:M1",
    "member:M2",
    "member:null",
    "phone:13812345671",
    "phone:13812345672",
    "device:d1",
    "device:d2",
]
IDENTIFIERS += ["openid:wx/o1", "openid:wx/o2", "name:li", "name:wu", "card:1", "vin:bad"]
OBSERVATIONS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(IDENTIFIERS), max_size=4),
        st.sampled_from([0, 1, 1 + MINUTE, 2, 9]),
        st.sampled_from([1, 2, 4, 5, 9]),
        st.sampled_from([{}, {}, {}, {}, {"verdict": "different"}, {"retract": "o1"}, {"retract": "o3"}]),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OBSERVATIONS, st.lists(st.integers(0, 11), max_size=3), st.randoms(use_true_random=False))
def test_any_order_of_the_lines_gives_the_same_bytes(
    run: Run, drawn: list[Any], repeats: list[int], random: Random
) -> None:
    lines = [
        seen(f"o{n}", *texts, day=day, strength=strength, **more)
        for n, (texts, day, strength, more) in enumerate(drawn)
    ]
    run(*lines, policy=SMALL)
    first = run.written
    assert set(run.rows()) == {line["id"] for line in lines if not {"verdict", "retract"} & set(line)}
    again = [lines[n] for n in repeats if n < len(lines)]
    run(*shuffled(lines + again, random), policy=SMALL)
    assert run.written == first


def test_a_stream_of_car_buyers_gives_the_same_bytes_in_any_order(run: Run) -> None:
    write_jsonl(car_buyers(people=250, seed=5), run.file)
    lines = [json.loads(line) for line in run.file.read_text().splitlines()]
    summary = run(*lines)
    assert summary.values["hub"] + summary.values["shared"] > 0
    first = run.written
    run(*shuffled(lines, Random(5)))
    assert run.written == first


# Whole or not at all


def test_a_bad_line_stops_everything_before_anything_is_written(run: Run) -> None:
    with pytest.raises(ConfigurationError, match=r"^seen\.jsonl, line 2 is unreadable: strength is 0, not 1 to 9; "):
        run(seen("o1", "member_id:M1"), seen("o2", "member_id:M1", strength=0))
    assert run.written == {}


def test_bad_lines_are_set_aside_with_number_and_reason(run: Run) -> None:
    summary = run(
        b"\xff\xfe",
        seen("o1", "member_id:M1"),
        b"",
        '{"id": "\u8f66"}\r',
        seen("o2", "member_id:M2"),
        seen("o2", "member_id:M3"),
        skip_bad=True,
    )
    assert summary.rejected == 4
    assert set(run.rows()) == {"o1"}
    both = "lines 5, 6 have one id and not one content"
    assert [json.loads(line) for line in run.rejected.read_text(encoding="utf-8").splitlines()] == [
        {"line": 1, "reason": "no JSON (JSON is malformed: invalid character (byte 0))", "text": "\\xff\\xfe"},
        {"line": 4, "reason": "occurred_at is missing", "text": '{"id": "\u8f66"}'},
        {"line": 5, "reason": both, "text": json.dumps(seen("o2", "member_id:M2"))},
        {"line": 6, "reason": both, "text": json.dumps(seen("o2", "member_id:M3"))},
    ]


def test_without_bad_lines_the_file_of_bad_lines_is_empty(run: Run) -> None:
    run(seen("o1", "member_id:M1"), skip_bad=True)
    assert run.rejected.read_bytes() == b""


def test_a_result_replaces_the_one_before_it_and_keeps_a_link(run: Run) -> None:
    elsewhere = run.folder / "elsewhere.csv"
    elsewhere.write_text("before")
    run.out.symlink_to(elsewhere)
    run(seen("o1", "member_id:M1"))
    assert run.out.is_symlink()
    assert elsewhere.read_text().startswith("observation,person\no1,")


def test_a_link_that_leads_to_itself_is_replaced(run: Run) -> None:
    run.out.symlink_to(run.out)
    run(seen("o1", "member_id:M1"))
    assert set(run.rows()) == {"o1"}


@pytest.mark.parametrize("place", ["who.csv", "who.csv.values.csv", "who.csv.rejected.jsonl"])
def test_where_one_file_cannot_be_written_none_is(run: Run, place: str) -> None:
    (run.folder / place).mkdir()
    with pytest.raises(ConfigurationError, match=r"^--out is .*, which is no file"):
        run(seen("o1", "member_id:M1"), skip_bad=True)
    assert [each.name for each in run.folder.iterdir() if each.is_file()] == ["seen.jsonl"]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_disk_that_fills_up_leaves_nothing_behind(run: Run, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run(seen("o1", "member_id:M1"), skip_bad=True)
    before, calls, fsync = run.written, 0, os.fsync

    def full(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(28, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        run(seen("o2", "member_id:M2"), skip_bad=True)
    assert run.written == before


def test_the_file_that_is_read_is_never_replaced(run: Run) -> None:
    run.file.write_text("")
    with pytest.raises(ConfigurationError, match="another file than those that are read"):
        resolve_file(run.file, run.file, BUILT_IN, region="CN", skip_bad=False, tell=nobody)
    values = run.folder / "seen.values.csv"
    values.write_text("")
    with pytest.raises(ConfigurationError, match="another file than those that are read"):
        resolve_file(values, run.folder / "seen", BUILT_IN, region="CN", skip_bad=False, tell=nobody)


def test_a_file_that_is_not_there_or_no_file_is_one_sentence(run: Run) -> None:
    for file in (run.folder, run.folder / "nowhere.jsonl"):
        with pytest.raises(ConfigurationError, match=r"^FILE is .*; allowed is a file of observations"):
            resolve_file(file, run.out, BUILT_IN, region="CN", skip_bad=False, tell=nobody)
    with pytest.raises(ConfigurationError, match="a folder that exists"):
        resolve_file(run.file, run.folder / "no" / "who.csv", BUILT_IN, region="CN", skip_bad=False, tell=nobody)


def test_progress_is_told_by_stage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identity.observation_file.LINES_PER_TELL", 2)
    run.file.write_text("".join(f"{json.dumps(seen(f'o{n}', 'member_id:M1'))}\n" for n in range(6)))
    told: list[tuple[str, float]] = []
    resolve_file(run.file, run.out, BUILT_IN, region="CN", skip_bad=False, tell=lambda *each: told.append(each))
    assert [stage for stage, _ in told] == ["reading"] * 3 + ["resolving"] * 2 + ["writing"] * 2
    assert [share for stage, share in told if stage == "reading"] == pytest.approx([1 / 3, 2 / 3, 1])
