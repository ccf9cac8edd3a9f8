"""`/imports`: upload, look, confirm, follow, report and undo, for those who may."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api import import_shapes as shapes
from cdp.model import SourceKind
from cdp.wiring import System
from tests.api.conftest import problem, shaped
from tests.cdp.intake import Intake
from tests.collectors.sheets import as_csv

URL = "/api/v1/imports"
ENDED = ("done", "undone", "failed", "cancelled")


@pytest.fixture(scope="module")
def source(intake: Intake) -> str:
    return intake.source("files", SourceKind.FILE).id


@pytest.fixture
def at_work(system: System) -> Iterator[None]:
    """The worker and the importer of the app."""
    worker = threading.Thread(target=system.worker.run)
    importer = threading.Thread(target=system.importer.run)
    threads = (worker, importer)
    for thread in threads:
        thread.start()
    yield
    for each in (system.importer, system.worker):
        each.stop()
    for thread in threads:
        thread.join()
    for each in (system.importer, system.worker):
        each._stopping.clear()


def uploaded(client: httpx.Client, data: bytes, **query: Any) -> httpx.Response:
    return client.post(URL, params={"source": "files", "filename": "leads.csv"} | query, content=data)


def ended(client: httpx.Client, import_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (found := client.get(f"{URL}/{import_id}").json())["state"] not in ENDED:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return dict(found)


@pytest.mark.usefixtures("at_work")
def test_a_file_is_looked_at_confirmed_reported_and_undone(data: httpx.Client, source: str, phone: str) -> None:
    file = as_csv([["姓名", "手机"], ["王小明", phone], ["李", "138"]])
    answer = uploaded(data, file)
    assert answer.status_code == 201
    looked = shaped(answer.json(), shapes.Import)
    assert (looked["state"], looked["rows"], looked["questions"]) == ("preview", 2, looked["questions"])
    assert phone not in answer.text
    assert uploaded(data, file).json()["id"] == looked["id"]
    told = {"kind": "leads", "columns": {"姓名": "name", "手机": "phone"}}
    begun = data.post(f"{URL}/{looked['id']}/confirm", json={"map": told})
    assert begun.status_code == 202
    done = ended(data, looked["id"])
    assert (done["state"], done["counts"]) == ("done", {"taken": 1, "joined": 0, "repeated": 0, "refused": 1})
    report = data.get(f"{URL}/{looked['id']}/report")
    assert phone[3:] not in report.text
    taken, refused = shaped(report.json(), shapes.ImportReport)["rows"]
    assert data.get(f"/api/v1/leads/{taken['lead']}").status_code == 200
    assert (refused["row"], refused["reason"]["code"], refused["reason"]["column"]) == (3, "not_of_kind", "手机")
    table = data.get(f"{URL}/{looked['id']}/report", params={"format": "csv"}).content.decode("utf-8-sig")
    assert [line.split(",")[1] for line in table.splitlines()] == ["outcome", "taken", "refused"]
    assert data.post(f"{URL}/{looked['id']}/undo", json={}).status_code == 202
    assert ended(data, looked["id"])["removed"]["leads"] == 1
    assert data.get(f"/api/v1/leads/{taken['lead']}").status_code == 404
    problem(data.post(f"{URL}/{looked['id']}/confirm", json={"map": told}), 409)
    assert looked["id"] in [each["id"] for each in shaped(data.get(URL).json(), shapes.Imports)["imports"]]


@pytest.mark.usefixtures("source")
def test_what_cannot_be_taken_is_refused_before_anything_is(data: httpx.Client, system: System) -> None:
    assert "no rows" in problem(uploaded(data, b"\n\n"), 422)["detail"]
    problem(uploaded(data, b""), 422)
    problem(uploaded(data, b"a,b\n1,2\n", source="nobody"), 404)
    problem(data.get(f"{URL}/im_none"), 404)
    unsure = uploaded(data, as_csv([["A"], ["13812345678"]])).json()
    asked = problem(data.post(f"{URL}/{unsure['id']}/confirm", json={}), 422)
    assert [each["path"] for each in asked["errors"]] == ["A"]
    wrong = problem(
        data.post(f"{URL}/{unsure['id']}/confirm", json={"map": {"kind": "leads", "columns": {"A": "telephone"}}}), 422
    )
    assert "A" in [each["path"] for each in wrong["errors"]]
    problem(data.post(f"{URL}/{unsure['id']}/undo", json={}), 409)
    assert data.post(f"{URL}/{unsure['id']}/cancel", json={}).json()["state"] == "cancelled"
    assert not list(system.importer.report_path("x").parent.glob("*.upload"))
