"""`cdp person`: who somebody is, and what they did."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cdp.cli.arguments import KindAndValue, parse_identifier
from cdp.cli.output import Json, answer

app = typer.Typer(help="Persons: profile and trail. 人：画像与行为轨迹。", no_args_is_help=True)


@app.callback()
def _persons() -> None:
    """Makes `show` a verb of its own: a group with one command would else be that command."""


@app.command()
def show(
    identifier: Annotated[
        KindAndValue,
        typer.Argument(parser=parse_identifier, metavar="KIND:VALUE", help="Any identifier of hers. 任一标识。"),
    ],
    limit: Annotated[int, typer.Option(min=0, max=1000, help="Newest events to show. 最近行为条数。")] = 20,
    json: Json = False,
) -> None:
    """Show a person's profile and newest events. 查看画像与最近的行为。

    Example: cdp person show phone:+8613812345678
    """
    from cdp.card import person_card
    from cdp.client import connect
    from cdp.settings import load_settings

    settings = load_settings()
    with connect(settings) as client:
        # The value travels in a body, where no log of a proxy keeps it.
        person: dict[str, Any] = client.post("/persons/lookup", identifier._asdict())
        trail = client.get(f"/persons/{person['id']}/trail", limit=limit)["events"] if limit else []
    answer({**person, "trail": trail}, lambda value: person_card(value, settings.zone), json=json)
