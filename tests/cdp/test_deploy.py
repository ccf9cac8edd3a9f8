"""What a deployment is made of: it starts what the tests run, and asks for nothing that is not there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.engine import make_url

from api.demo_shop import demo_shop
from cdp.errors import ConfigurationError
from cdp.roles import Role
from cdp.settings import PREFIX, Settings, load_settings
from cdp.supervisor import STOP_S
from tests.real.topology import PORT_SETTING, procfile

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
ROLES = sorted(procfile())
SERVERS = sorted(set(SERVICES) - set(ROLES))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "grafana" / "xunji.json").read_text(encoding="utf-8"))
METRIC = re.compile(r"\b(?:xunji|process|python)_\w+")
PORTS = {
    setting: Settings.model_fields[setting.removeprefix(PREFIX).lower()].default for setting in PORT_SETTING.values()
}


# What runs


def test_a_container_runs_the_command_of_the_procfile_that_bears_its_name() -> None:
    assert {name: SERVICES[name]["command"] for name in ROLES} == procfile()


def test_every_role_runs_at_least_twice_where_one_would_not_do() -> None:
    roles = [name.rpartition("-")[0] for name in ROLES]
    assert set(roles) == {role.value for role in Role}
    assert {role for role in roles if roles.count(role) < 2} == {"api"}


def test_all_roles_are_one_image_of_the_present_version() -> None:
    version = PROJECT["project"]["version"]
    assert {SERVICES[name]["image"] for name in ROLES} == {f"xunji:{version}"}


def test_the_image_is_made_of_all_packages() -> None:
    packages = {each for each in PROJECT["tool"]["setuptools"]["packages"] if "." not in each}
    assert set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)) == packages
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    assert packages <= set(re.findall(r"^!(\w+)$", ignored, re.MULTILINE))


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_pinned_limited_watched_and_not_root(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w/-]+:\d+\.\d+[\w.-]*", service["image"])
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", service["user"])
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ROLES)
def test_a_role_writes_to_its_data_alone_and_has_time_to_end(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    places = [*service["tmpfs"], *(volume.partition(":")[2] for volume in service.get("volumes", ()))]
    assert {place.partition(":")[0] for place in places} <= {"/tmp", "/data", "/data/imports"}
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_S
    # By its name in the network others find it.
    assert service["hostname"] == name


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_asked_for_its_health_where_it_listens(name: str) -> None:
    service = SERVICES[name]
    setting = PORT_SETTING.get(name.rpartition("-")[0], "XUNJI_HEALTH_PORT")
    port = service["environment"].get(setting, PORTS.get(setting))
    assert f"http://127.0.0.1:{port}/healthz" in service["healthcheck"]["test"][-1]
    assert all(
        published.startswith("127.0.0.1:") and published.endswith(f":{port}") for published in service.get("ports", ())
    )


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_keeps_its_data_in_a_volume_and_is_not_published(name: str) -> None:
    mounted = [volume.partition(":")[0] for volume in SERVICES[name]["volumes"]]
    assert [volume for volume in mounted if not volume.startswith("./")] == [name]
    assert all((ROOT / file).is_file() for file in mounted if file.startswith("./"))
    assert "ports" not in SERVICES[name]


# What it is given


@pytest.mark.parametrize("name", ROLES)
def test_a_container_is_given_settings_that_exist(name: str) -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    given = SERVICES[name]["environment"]
    assert {setting.removesuffix("_FILE") for setting in given} <= known
    for setting, value in given.items():
        if setting.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/") in SERVICES[name]["secrets"]
        assert "://" not in value or "@" not in value, "a password belongs in a file"


def test_whatever_a_container_names_is_declared() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        mounted = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert {volume for volume in mounted if not volume.startswith("./")} <= set(COMPOSE["volumes"])
        assert set(service.get("depends_on", ())) <= set(SERVERS)
        assert all(how == {"condition": "service_healthy"} for how in service.get("depends_on", {}).values())


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The folder that the script makes."""
    script = tmp_path / "deploy" / "secrets.sh"
    script.parent.mkdir()
    script.write_bytes((DEPLOY / "secrets.sh").read_bytes())
    subprocess.run(["sh", str(script)], check=True, timeout=30)
    return script.parent / "secrets"


def test_the_script_makes_each_secret_once(secrets: Path) -> None:
    made = {file.name: file.read_text() for file in secrets.iterdir()}
    assert {f"deploy/secrets/{name}" for name in made} == {each["file"] for each in COMPOSE["secrets"].values()}
    assert all(made.values())
    assert secrets.stat().st_mode & 0o777 == 0o700
    subprocess.run(["sh", str(secrets.parent / "secrets.sh")], check=True, timeout=30)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == made


def test_the_secrets_are_settings_and_fit_what_the_servers_are_told(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = SERVICES["worker-1"]["environment"]
    for setting, value in environment.items():
        monkeypatch.setenv(setting, "" if value.startswith("$") else value.replace("/run/secrets", str(secrets)))
    settings = load_settings()
    assert len(settings.secret_bytes) == 32
    for name, server, password in (
        ("records_url", "postgres", "postgres_password"),
        ("graph_url", "neo4j", "neo4j_auth"),
        ("events_url", "clickhouse", "clickhouse_password"),
    ):
        url = make_url(getattr(settings, name))
        assert url.host == server
        assert url.password == (secrets / password).read_text().removeprefix("neo4j/")
    assert make_url(settings.records_url).username == SERVICES["postgres"]["environment"]["POSTGRES_USER"]
    assert make_url(settings.records_url).database == SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    assert make_url(settings.events_url).username == SERVICES["clickhouse"]["environment"]["CLICKHOUSE_USER"]
    assert make_url(settings.log_url).host == "kafka"


def test_secrets_are_neither_committed_nor_in_an_image() -> None:
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


# The image


def copied() -> set[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {source for line in lines for source in shlex.split(line)[:-1]}


def test_the_image_gets_every_package_and_nothing_that_is_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied() == allowed
    packages = {package.partition(".")[0] for package in PROJECT["tool"]["setuptools"]["packages"]}
    assert packages == {source for source in copied() if (ROOT / source).is_dir()}
    assert all((ROOT / source).exists() for source in copied())


def test_the_installed_product_has_every_package() -> None:
    packages = PROJECT["tool"]["setuptools"]["packages"]
    folders = [
        init.parent
        for top in {name.partition(".")[0] for name in packages}
        for init in (ROOT / top).rglob("__init__.py")
    ]
    # The migrations are files that alembic finds, and go along as such.
    found = {
        folder.relative_to(ROOT).as_posix().replace("/", ".") for folder in folders if "migrations" not in folder.parts
    }
    assert found == set(packages)


def test_an_installed_product_that_is_asked_for_the_demo_says_that_it_has_no_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.demo_shop.FOLDER", tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"^--demo is asked of an installed product; "):
        demo_shop(None)  # type: ignore[arg-type]


def test_the_image_runs_as_the_user_of_the_containers_on_one_pinned_base() -> None:
    assert set(re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)) == {SERVICES[name]["user"] for name in ROLES}
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


def pinned(lock: Path) -> dict[str, set[str]]:
    """The versions of each package; more than one where they differ by version of Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([\w.+-]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_the_image_gets_the_versions_that_the_tests_run_and_none_of_the_tools() -> None:
    image, tests = pinned(DEPLOY / "requirements.lock"), pinned(ROOT / "requirements.lock")
    assert {name: tests.get(name) for name in image} == image
    wanted = {re.split(r"[\[;<>=~ ]", each)[0].lower() for each in PROJECT["project"]["dependencies"]}
    assert {name.replace(".", "-") for name in wanted} | {"psycopg", "setuptools"} <= image.keys()
    assert not {"mypy", "pytest", "ruff", "splink"} & image.keys()


# What is watched


def documented() -> set[str]:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)
    return {name for row in rows for name in METRIC.findall(row)}


def asked(expression: str) -> set[str]:
    """The metrics of an expression, a histogram's parts as the whole."""
    return {re.sub(r"(?<=_seconds)_(bucket|count|sum)$", "", name) for name in METRIC.findall(expression)}


def test_alarms_and_dashboard_ask_for_metrics_that_exist_and_the_dashboard_for_all_of_ours() -> None:
    shown = {
        name for panel in DASHBOARD["panels"] for target in panel.get("targets", ()) for name in asked(target["expr"])
    }
    alarmed = {name for rule in RULES for name in asked(rule["expr"])}
    assert shown | alarmed <= documented()
    assert {name for name in documented() if name.startswith("xunji_")} <= shown


def test_panels_have_places_and_numbers_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_each_alarm_is_explained_and_no_other() -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(Xunji\w+)` \|", page, re.MULTILINE) == [rule["alert"] for rule in RULES]
    assert {rule["labels"]["severity"] for rule in RULES} == {"page", "ticket"}
    assert all(rule["annotations"]["summary"] for rule in RULES)


def test_the_example_scrapes_every_process_under_its_role() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scraped["scrape_configs"]
    assert job["job_name"] == "xunji"
    found = {
        target.partition(":")[0]: each["labels"]["role"] for each in job["static_configs"] for target in each["targets"]
    }
    assert found == {name: name.rpartition("-")[0] for name in ROLES}
