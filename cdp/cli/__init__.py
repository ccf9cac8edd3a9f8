"""The command `cdp`: noun, verb, example.

One file per noun. A command calls the API (`cdp.api_client`), then prints the answer: a table for people, JSON with
`--json` for programs. What takes long to import is imported inside the commands, so that `--help` comes at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from cdp.cli import config, identity, imports, key, lead, log, person, segment, source, vault
from cdp.cli.accounting import accounting
from cdp.cli.doctor import doctor
from cdp.cli.move import move
from cdp.cli.output import complain
from cdp.cli.qr import qr
from cdp.cli.serve import serve
from cdp.errors import ConfigurationError, Rejected, XunjiError

DONE, NO, WRONG_CALL, UNREACHABLE = 0, 1, 2, 3
"""Exit codes: done; the answer is no; the call or a setting is wrong; a store or the server cannot be reached."""

app = typer.Typer(
    name="cdp",
    help="Xunji, a customer data platform. 寻迹，客户数据平台。",
    epilog="Exit codes: 0 done, 1 the answer is no, 2 wrong call, 3 a store cannot be reached. "
    "退出码：0 完成，1 答案为否，2 用法或配置有误，3 存储或服务不可达。",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve)
app.add_typer(source.app, name="source")
app.add_typer(key.app, name="key")
app.add_typer(person.app, name="person")
app.add_typer(lead.app, name="lead")
app.add_typer(segment.app, name="segment")
app.add_typer(identity.app, name="identity")
app.add_typer(imports.app, name="import")
app.command("qr")(qr)
app.command("accounting")(accounting)
app.add_typer(log.app, name="log")
app.command("move")(move)
app.add_typer(vault.app, name="vault")
app.add_typer(config.app, name="config")
app.command("doctor")(doctor)


def main() -> None:
    """The entry of the console script."""
    for stream in (sys.stdout, sys.stderr):
        # Chinese on a terminal that has no Chinese is a question mark, not a crash.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. What went wrong is one sentence on stderr."""
    try:
        app(list(arguments))
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else NO
    except (XunjiError, OSError) as error:
        complain(str(error))
        return exit_code(error)
    return DONE


def exit_code(error: XunjiError | OSError) -> int:
    """What the shell is told: a setting or a call can be mended by the caller, a store that is away cannot."""
    if isinstance(error, ConfigurationError):
        return WRONG_CALL
    status = getattr(error, "status", None)
    if isinstance(status, int) and status < 500:
        return NO if status in (404, 409) else WRONG_CALL
    return WRONG_CALL if isinstance(error, Rejected) else UNREACHABLE
