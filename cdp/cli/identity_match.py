"""`cdp identity match`: which records of a file are one person, by similarity."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from rich.table import Table

    from identity.matching.match import Matched, Tell
    from identity.matching.records import Records

STAGES = {
    "blocking": "blocking 分块",
    "comparing": "comparing 比较",
    "learning": "learning 学习",
    "scoring": "scoring 打分",
    "clustering": "clustering 聚类",
    "done": "done 完成",
}


def match(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="CSV in UTF-8 with a header. 带表头的 UTF-8 CSV。")
    ],
    columns: Annotated[Path, typer.Option(metavar="MAP.toml", help="What the columns mean. 各列含义。")],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="Gets id, cluster, confidence. 输出文件。")],
    json: Json = False,
) -> None:
    """Find the records that are one person by similarity; nothing is stored. 按相似度找出同一人的记录，不写入任何存储。

    Example: cdp identity match crm.csv dealers.csv --columns columns.toml --out who.csv
    """
    from identity.matching.columns import read_columns
    from identity.matching.match import match as match_records
    from identity.matching.tables import check_out, read_records, read_text, write_whole

    check_out(out, [*files, columns])
    records = read_records(files, read_columns(read_text(columns)))
    with _progress() as tell:
        matched = match_records(records, tell=tell)
    ids = records.ids.tolist()
    rows = (
        (ids[row], ids[head], str(band))
        for row, (head, band) in enumerate(zip(matched.clusters.tolist(), matched.confidence, strict=True))
    )
    write_whole(out, ("id", "cluster", "confidence"), rows)
    answer(_summary(records, matched, out), _table, json=json)


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on stderr where somebody sees it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(STAGES["blocking"], total=1.0)
        yield lambda stage, share: progress.update(bar, description=STAGES[stage], completed=share)


def _summary(records: Records, matched: Matched, out: Path) -> dict[str, Any]:
    sizes, bands = Counter(matched.clusters.tolist()), Counter(map(str, matched.confidence))
    return {
        "records": len(records),
        "clusters": len(sizes),
        "joined": sum(size for size in sizes.values() if size > 1),
        "compared": matched.compared,
        "confidence": {band: bands[band] for band in ("exact", "strict", "loose")},
        "model": matched.model.version if matched.model is not None else None,
        "out": str(out),
    }


def _table(summary: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("", "", show_header=False)
    for name, label in (
        ("records", "records 记录"),
        ("clusters", "clusters 人"),
        ("joined", "records that share a cluster 有重复的记录"),
        ("compared", "pairs compared 比较对数"),
    ):
        table.add_row(label, f"{summary[name]:,}")
    table.add_row(
        "exact · strict · loose 完全 · 可靠 · 待核", " · ".join(f"{n:,}" for n in summary["confidence"].values())
    )
    table.add_row("model 模型", str(summary["model"]))
    table.add_row("written 已写入", str(summary["out"]))
    return table
