"""`cdp lead`: an enquiry with the trail that led to it."""

from __future__ import annotations

from typing import Annotated

import typer

from cdp.cli.output import Json, answer

app = typer.Typer(help="Leads with their frozen trail. 线索及其冻结的行为轨迹。", no_args_is_help=True)


@app.callback()
def _leads() -> None:
    """Makes `show` a verb of its own: a group with one command would else be that command."""


@app.command()
def show(
    lead_id: Annotated[str, typer.Argument(metavar="ID", help="The lead's id. 线索编号。")],
    json: Json = False,
) -> None:
    """Show a lead: contact, interests, trail and reasons. 查看线索：联系方式、关注点、轨迹与依据。

    Example: cdp lead show ld_5f2b9c1e
    """
    from urllib.parse import quote

    from cdp.api_client import connect
    from cdp.card import lead_card
    from cdp.settings import load_settings

    settings = load_settings()
    with connect(settings) as client:
        lead = client.get(f"/leads/{quote(lead_id, safe='')}")
    answer(lead, lambda value: lead_card(value, settings.zone), json=json)
