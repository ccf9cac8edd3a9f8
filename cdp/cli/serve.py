"""`cdp serve`: run the product."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdp.cli.output import Json, complain, console, line
from cdp.errors import ConfigurationError, XunjiError
from cdp.roles import APP, Role

if TYPE_CHECKING:
    from cdp.api_client import ApiClient
    from cdp.settings import Settings
    from cdp.supervisor import Child

POLL_S = 0.1


class AlreadyRunning(ConfigurationError):
    """A second start on a data folder: mostly by somebody who forgot the first, so it says that before the setting."""

    def __init__(self, folder: str, url: str, pid: int) -> None:
        came = f"{folder}, which the server at {url} (process {pid}) uses"
        super().__init__("XUNJI_DATA_DIR", came=came, allowed="a folder that no other server uses")

    def __str__(self) -> str:
        return f"It is running already 已在运行: {super().__str__()}"


def serve(
    role: Annotated[
        list[Role] | None, typer.Option(help="Run only this; may be repeated. 只运行该角色，可重复。")
    ] = None,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo", help="Play a demo into an empty system; serve a shop. 向空系统播放演示旅程，并提供演示商城。"
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Run the product until SIGTERM or Ctrl-C. 运行整个系统，直到收到停止信号。

    Example: cdp serve --demo
    """
    from cdp.logs import configure_logs
    from cdp.settings import load_settings

    settings = load_settings()
    configure_logs(settings.log_level)
    if role:
        _run_roles(settings, frozenset(role), demo=demo)
    else:
        raise typer.Exit(_run_all(settings, demo=demo, json=json))


def _run_roles(settings: Settings, roles: frozenset[Role], *, demo: bool) -> None:
    # Each kind of process loads only what it runs.
    if roles == {Role.COLLECTOR}:
        from cdp.collector import run_collector

        run_collector(settings)
        return
    if not (roles in (APP, {Role.IDENTITY}, {Role.SCHEDULER}) or roles <= {Role.WORKER, Role.API}):
        raise ConfigurationError(
            "--role",
            came=", ".join(sorted(roles)),
            allowed="collector, identity or scheduler alone, worker and api alone or together, "
            "or worker, identity, api and scheduler together",
        )
    if roles != APP:
        from cdp.stores import check_servers

        check_servers(settings)
    if roles == {Role.IDENTITY}:
        from cdp.identity_role import run_identity

        run_identity(settings)
    else:
        from cdp.app import run_app

        run_app(settings, roles, demo=demo)


def _run_all(settings: Settings, *, demo: bool, json: bool) -> int:
    from cdp.settings import load_settings
    from cdp.stores import check, open_records
    from cdp.supervisor import Supervisor

    _check_alone(settings)
    # Children read the same environment, so that all of them have the same ports.
    os.environ.update(usable_ports(settings))
    settings = load_settings()
    check(settings)
    # Keys and schema are made here, once, before several processes want them.
    _ = settings.admin, settings.secret_bytes
    open_records(settings).dispose()
    return Supervisor(_children(settings, demo=demo)).run(lambda: _announce(settings, demo=demo, json=json))


def _children(settings: Settings, *, demo: bool) -> list[Child]:
    from cdp.supervisor import Child

    collectors = [
        Child(f"collector-{number}", ["serve", "--role", "collector"]) for number in range(settings.collector_processes)
    ]
    app = [argument for role in Role if role in APP for argument in ("--role", role.value)]
    return [*collectors, Child("app", ["serve", *app, *(["--demo"] if demo else [])])]


def _check_alone(settings: Settings) -> None:
    """Raises AlreadyRunning where another server has this data folder open."""
    from cdp.api_client import note_of, running_server

    note = note_of(settings)
    if note is not None and running_server(settings):
        raise AlreadyRunning(str(settings.data), note.url, note.pid)


def usable_ports(settings: Settings) -> Mapping[str, str]:
    """The two ports as environment variables, 0 replaced by a free one. Raises ConfigurationError for a taken one."""
    wanted = {"XUNJI_PORT": settings.port, "XUNJI_COLLECTOR_PORT": settings.collector_port}
    held = []
    try:
        found = {}
        for setting, port in wanted.items():
            held.append(_bound(setting, settings.host, port))
            found[setting] = str(held[-1].getsockname()[1])
        return found
    finally:
        for listener in held:
            listener.close()


def _bound(setting: str, host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigurationError(
            "XUNJI_HOST", came=f"{host!r} ({error})", allowed="an address of this machine"
        ) from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        came = f"{port}, which cannot be had on {host} ({error.strerror})"
        raise ConfigurationError(setting, came=came, allowed="a free port, or 0 for any") from None
    return listener


def _announce(settings: Settings, *, demo: bool, json: bool) -> None:
    """Say where everything is once it works; then play the demo, if it was asked for."""
    from cdp.api_client import client_of

    api, collectors = _url(settings.host, settings.port), _url(settings.host, settings.collector_port)
    with client_of(api, settings.admin) as client:
        _wait_until_ready(client, collectors)
        _say_where(settings, api, collectors, demo=demo, json=json)
        if demo:
            try:
                _show_demo(client, settings, collectors, json=json)
            except XunjiError as error:
                complain(str(error))


def _url(host: str, port: int) -> str:
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"


def _wait_until_ready(client: ApiClient, collectors: str) -> None:
    import httpx

    from cdp.api_client import ServerUnavailable

    while True:
        try:
            if client.health("/readyz")[0] == 200 and httpx.get(f"{collectors}/healthz", trust_env=False).is_success:
                return
        except (ServerUnavailable, httpx.TransportError):
            pass
        time.sleep(POLL_S)


def _say_where(settings: Settings, api: str, collectors: str, *, demo: bool, json: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    key = "XUNJI_ADMIN_KEY" if settings.admin_key else str(settings.data / "admin.key")
    if json:
        shop = {"shop": f"{api}/demo/"} if demo else {}
        line({"api": api, "collectors": collectors, "docs": f"{api}/docs", "admin_key_in": key, **shop})
        return
    table = Table.grid(padding=(0, 2))
    for label, value in (
        ("API 管理接口", f"{api}/api/v1"),
        ("docs 接口文档", f"{api}/docs"),
        ("collectors 采集地址", collectors),
        ("admin key in 管理密钥位置", key),
        *([("demo shop 演示商城", f"{api}/demo/")] if demo else []),
    ):
        table.add_row(f"[dim]{label}[/]", escape(value))
    console().print("[bold]Xunji is ready. 寻迹已就绪。[/]", table, sep="\n")


def _show_demo(client: ApiClient, settings: Settings, collectors: str, *, json: bool) -> None:
    from cdp.card import lead_card
    from cdp.demo import is_empty, newest_lead, play

    fresh = is_empty(client)
    lead = play(client, collectors, zone=settings.zone) if fresh else newest_lead(client)
    if json:
        line({"demo": "played" if fresh else "found", "lead": lead})
    elif fresh and lead:
        screen = console()
        screen.print()
        screen.print(lead_card(lead, settings.zone))
        screen.print(f"Look again with 再次查看: {_called()} lead show {lead['id']}", soft_wrap=True)
    else:
        screen = console()
        screen.print("There is data already; the demo plays nothing. 已有数据，不再播放演示。")
        if lead:
            screen.print(f"The newest lead 最新线索: {_called()} lead show {lead['id']}", soft_wrap=True)


def _called() -> str:
    """The command as it was called here, so that a line with it can be pasted."""
    called = Path(sys.argv[0]).absolute()
    if called.name != "cdp" or shutil.which("cdp") == str(called):
        return "cdp"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)
