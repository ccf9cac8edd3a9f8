"""The documentation, asked whether it tells of everything there is, and whether what it names is there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from fastapi.routing import APIRoute
from prometheus_client import REGISTRY

import api
import cdp
import collectors
import identity
import leads
import profiles
import segments
from api.app import ROUTERS
from api.permissions import GRANTS
from cdp.batch import LEAD_NOT_CAPTURED
from cdp.cli import app
from cdp.errors import Rejected, XunjiError
from cdp.log import NOTHING_SPOOLED
from cdp.model import DropReason, Fact, Trust
from cdp.settings import PREFIX, Settings
from collectors import segment_call, sensors_record
from collectors.counts import Counts
from identity.kinds import BUILT_IN
from identity.observation import STEWARD, STRENGTHS, strength_of
from identity.resolve import State
from leads.freeze import PROOFS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NOTES = sorted((ROOT / "docs" / "decisions").glob("*.md"))
NOTE_LINES = 40
PACKAGES = (api, cdp, collectors, identity, leads, profiles, segments)
FOLDERS = "|".join([*(each.__name__ for each in PACKAGES), "bench", "docs", "tests"])
OUR_PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w")
"""A path inside the repository; the same words in a URL have a slash before them."""

FOREIGN = re.compile(
    r"(?<![\w.])/(?:home|root|work|Users)/\w"  # where somebody's machine keeps things
    r"|https?://\S+/simple\b|index-url[ =]+\S+://",
    re.IGNORECASE,
)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Told of everything


def commands(group: Any, words: tuple[str, ...] = ("cdp",)) -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


COMMANDS: Mapping[str, Any] = dict(commands(typer.main.get_command(app)))


def test_each_command_has_a_section_and_no_section_is_of_another() -> None:
    assert set(re.findall(r"^### `(.+)`$", page("commands.md"), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("call", COMMANDS)
def test_the_section_of_a_command_has_an_example_and_each_option(call: str) -> None:
    section = page("commands.md").partition(f"### `{call}`\n")[2].partition("\n#")[0]
    assert re.search(rf"^```\n{call}\b", section, re.MULTILINE)
    options = {option for parameter in COMMANDS[call].params for option in parameter.opts if option.startswith("--")}
    # What every command has is told once, above.
    assert {option for option in options - {"--json"} if option not in section} == set()


@pytest.mark.parametrize("call", COMMANDS)
def test_an_example_of_a_command_parses(call: str) -> None:
    section = page("commands.md").partition(f"### `{call}`\n")[2]
    words = re.findall(rf"^{call}\b.*$", section, re.MULTILINE)[0].split()
    COMMANDS[call].make_context("cdp", words[len(call.split()) :])


def test_each_setting_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| (`XUNJI_.+?) \|", page("settings.md"), re.MULTILINE)
    documented = [setting for row in rows for setting in re.findall(r"`(XUNJI_\w+)`", row)]
    # The one that says where the others are is none of them.
    assert sorted(documented) == sorted([*(PREFIX + name.upper() for name in Settings.model_fields), PREFIX + "CONFIG"])


def metrics() -> set[str]:
    """Names as Prometheus reads them, of whatever the collectors and the app register."""
    errors()  # imports every module, and with it what registers a metric
    families = [*REGISTRY.collect(), *Counts("0", lambda: NOTHING_SPOOLED).collect()]
    return {f"{each.name}_total" if each.type == "counter" else each.name for each in families}


def test_each_metric_is_documented_and_no_other() -> None:
    documented = {
        name for row in re.findall(r"^\| (`.+?`) \|", page("metrics.md"), re.M) for name in row[1:-1].split("`, `")
    }
    # Process figures depend on the machine: none where there is no /proc.
    assert {name for name in metrics() if name not in documented} == set()
    assert {name for name in documented if name.startswith("xunji_")} <= metrics()


@pytest.mark.parametrize("reason", DropReason)
def test_each_drop_reason_is_documented_in_its_own_sentence(reason: DropReason) -> None:
    assert re.fullmatch(r"[A-Z].*\.", reason.sentence)
    assert f"| `{reason}` | {reason.sentence} |" in page("path-of-an-event.md")


def test_refusals_that_are_no_drop_reasons_are_documented() -> None:
    assert f"`{LEAD_NOT_CAPTURED}`" in page("path-of-an-event.md")
    assert "`UNREADABLE`" in page("path-of-an-event.md")


@cache
def errors() -> tuple[type[XunjiError], ...]:
    """Every error that we raise on purpose, wherever it is declared."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations." not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def below(parent: type[XunjiError]) -> Iterator[type[XunjiError]]:
        yield parent
        for child in parent.__subclasses__():
            yield from below(child)

    ours = {package.__name__ for package in PACKAGES}
    return tuple(dict.fromkeys(each for each in below(XunjiError) if each.__module__.partition(".")[0] in ours))


def test_each_error_is_documented() -> None:
    told = page("api.md") + page("commands.md")
    assert [each.__name__ for each in errors() if f"`{each.__name__}`" not in told] == []


@pytest.mark.parametrize("error", errors(), ids=lambda each: each.__name__)
def test_an_error_writes_its_own_sentence(error: type[XunjiError]) -> None:
    if "__init__" not in vars(error):
        # Its sentence comes from where it is raised.
        assert issubclass(error, Rejected) or error.__doc__
        return
    asked = list(inspect.signature(error.__init__).parameters.values())[1:]
    values: dict[str, Any] = {"str": "this", "int": 1, "dict[str, Any]": {"detail": "That is so."}}
    given = {each.name: values.get(each.annotation, []) for each in asked if each.default is each.empty}
    sentence = str(error(**given))
    if "detail" not in given:
        assert re.fullmatch(r"\S.* .*\.", sentence, re.DOTALL), sentence


def test_each_status_of_a_refusal_is_documented_as_it_is() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|", page("api.md"), re.MULTILINE)
    told = {(int(status), name) for status, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert {(each.status, each.__name__) for each in errors() if issubclass(each, Rejected)} <= told


@pytest.mark.parametrize("role", GRANTS, ids=str)
def test_what_a_role_may_do_is_documented(role: Any) -> None:
    (told,) = re.findall(rf"^\| `{role}` \| (.*) \|$", page("api.md"), re.MULTILINE)
    assert told == "everything" or set(told.split(", ")) == {each.value for each in GRANTS[role]}


def test_each_call_of_the_api_has_an_example() -> None:
    document = page("api.md").replace("$API", "/api/v1")
    paths = [route.path for part in ROUTERS for route in part.router.routes if isinstance(route, APIRoute)]
    assert [path for path in paths if not re.search(_as_example(path), document)] == []


def _as_example(path: str) -> str:
    """A pattern of the path with an id in it, up to the end of a URL's path."""
    return re.sub(r"\\\{.*?\\\}", r"[^/\\s\"?]+", re.escape(path)) + r"[\"?]"


# True of what it says


@pytest.mark.parametrize("kind", [name for name, rules in BUILT_IN.kinds.items() if not rules.evidence_only])
def test_the_rules_of_a_kind_are_documented_as_they_are(kind: str) -> None:
    rules = BUILT_IN.kind(kind)
    ((priority, limit, hub),) = re.findall(
        rf"^\| `{kind}` \| (\d+) \| (.*?) \| (.*?)\|$", page("identity.md"), re.MULTILINE
    )
    assert int(priority) == rules.priority
    assert int(limit.split()[0]) == rules.max_per_person
    assert {other: int(most) for most, other in re.findall(r"(\d+) `(\w+)`", hub)} == dict(rules.fan_out)


def test_states_are_documented() -> None:
    assert [state for state in State if f"- **{state}**:" not in page("identity.md")] == []


def test_the_strength_of_each_fact_from_each_trust_is_documented_as_it_is() -> None:
    rows = re.findall(r"^\| (\d) \| (\w+) \| `?(.+?)`? \| (.+) \|$", page("identity.md"), re.MULTILINE)
    assert {int(strength): name for strength, name, *_ in rows} == PROOFS
    assert int(rows[0][0]) == STEWARD
    told: dict[tuple[Fact, Trust, bool], int] = {}
    for strength, _, fact, senders in rows[1:]:
        for sender in senders.split("; "):
            trust = Trust(sender.split("`")[1])
            told[Fact(fact), trust, "`context.proof`" in sender] = int(strength)
    assert {(fact, trust): n for (fact, trust, proven), n in told.items() if not proven} == STRENGTHS
    assert {key: strength_of(*key) for key in told} == told
    # A signature is worth something where the key is not, and for a login alone.
    assert {key[:2] for key in told if key[2]} == {
        (fact, trust) for fact, trust in STRENGTHS if strength_of(fact, trust, True) != strength_of(fact, trust)
    }


def test_what_each_sdk_sends_as_a_login_is_documented() -> None:
    ((segment, sensors),) = re.findall(r"^\| `login` \| (.+?) \| (.+?) \|$", page("identity.md"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", segment)) == segment_call._LOGINS
    assert set(re.findall(r"`(\w+)`", sensors)) == sensors_record._BINDS | {sensors_record._UNBIND}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_files_that_a_page_names_exist(path: Path) -> None:
    # A link says where it leads from its own page, and has a test of its own.
    text = re.sub(r"\]\(.*?\)", "]", path.read_text(encoding="utf-8"))
    assert {each for each in OUR_PATH.findall(text) if not (ROOT / each).exists()} == set()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, heading = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists() or (heading and heading not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", NOTES, ids=name_of)
def test_a_decision_note_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= NOTE_LINES


# Of nobody's machine


def test_no_file_names_a_machine_or_an_index() -> None:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("what belongs to the repository is known to git alone")
    found = []
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            text = (ROOT / name).read_bytes().decode(errors="replace")
            found += [f"{name}: {text[match.start() : match.end() + 20]!r}" for match in FOREIGN.finditer(text)]
    assert found == []
