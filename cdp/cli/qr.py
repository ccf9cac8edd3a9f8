"""`cdp qr`: codes for posters, stands and brochures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdp.cli.output import Json, line

if TYPE_CHECKING:
    from cdp.qr import Code


class Format(StrEnum):
    """As `cdp.qr.Format`, which takes too long to import for a help text."""

    PNG = "png"
    SVG = "svg"


def qr(
    url: Annotated[str, typer.Argument(help="The page that the code leads to. 扫码后打开的页面。")],
    campaign: Annotated[str, typer.Option(help="utm_campaign: what the code is for. 活动名称。")],
    source: Annotated[str, typer.Option(help="utm_source: where it hangs. 来源。")] = "",
    medium: Annotated[str, typer.Option(help="utm_medium. 媒介。")] = "qr",
    term: Annotated[str, typer.Option(help="utm_term. 关键词。")] = "",
    content: Annotated[str, typer.Option(help="utm_content: which code it is. 物料。")] = "",
    each: Annotated[
        str, typer.Option(help="One code for each utm_content, with commas between. 逗号分隔，各一张。")
    ] = "",
    format_: Annotated[Format, typer.Option("--format", help="Image format. 图片格式。")] = Format.PNG,
    scale: Annotated[int, typer.Option(min=1, max=100, help="Pixels of a module. 每格像素数。")] = 10,
    out: Annotated[Path | None, typer.Option(help="File; a folder with --each. 文件，或目录。")] = None,
    json: Json = False,
) -> None:
    """Draw a QR code that brings its campaign along. 生成带活动参数的二维码。

    Example: cdp qr https://www.example.com/x9 --campaign autumn --source auto-shanghai --out x9.png
    """
    from cdp.qr import Format as Drawn
    from cdp.qr import codes_of, named

    kind = Drawn(format_.value)
    said = {"source": source, "medium": medium, "name": campaign, "term": term, "content": content}
    contents = [part.strip() for part in each.split(",")] if each else []
    codes = codes_of(url, said, each=contents)
    files: dict[Path, Code] = {}
    if contents:
        folder = out or Path()
        folder.mkdir(parents=True, exist_ok=True)
        files = {folder / name: code for name, code in named(codes, campaign, kind).items()}
    elif out is not None:
        files = {out: codes[0]}
    for path, code in files.items():
        path.write_bytes(code.image(kind, scale=scale))
    made = [{"content": code.content, "url": code.url, "file": str(path)} for path, code in files.items()]
    if json:
        line({"codes": made or [{"content": content, "url": codes[0].url, "file": None}]})
        return
    if not files:
        # For a phone held to the screen.
        typer.echo(codes[0].text())
    # Not through the console of tables: an address that is broken over two lines is none.
    typer.echo("\n".join(f"{code['file']}  {code['url']}" for code in made) or codes[0].url)
