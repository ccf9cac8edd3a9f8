"""Whatever step of an erasure a crash falls into, the next start ends it, with the same receipt and nothing left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdp.erasure import STEPS
from tests.cdp.planted import HER, in_answers, in_files, told_of_others
from tests.cdp.test_erasure import SECRET, a_stage

ROOT = Path(__file__).parents[2]


def erase_in_a_process(folder: Path, *step: str) -> int:
    words = [sys.executable, "-m", "tests.cdp.dying_eraser", str(folder), *step]
    env = os.environ | {"XUNJI_SECRET": SECRET}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.timeout(480)
def test_a_job_that_is_killed_in_every_step_ends_with_the_same_receipt(tmp_path: Path) -> None:
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    with a_stage(killed) as stage:
        stage.play(with_her=True)
        hits = stage.hits
        job = stage.client.post(f"/persons/{stage.person()}/erase", {"reason": "asked for"})["id"]
    shutil.copytree(killed, calm, symlinks=True, ignore=shutil.ignore_patterns("wake"))
    assert erase_in_a_process(calm) == 0
    for step in STEPS:
        assert erase_in_a_process(killed, step.__name__) == -signal.SIGKILL, step.__name__
    assert erase_in_a_process(killed) == 0
    told = {folder: told_of(folder, job, hits) for folder in (killed, calm)}
    assert told[killed] == told[calm]


def told_of(folder: Path, job: str, hits: list[str]) -> tuple[dict[str, Any], list[Any]]:
    """The receipt but for its time, and what is known of others; and nothing is left of her."""
    with a_stage(folder) as stage:
        assert in_answers(stage.client, hits, [value for name, value in HER.items() if name != "VIN"]) == []
        assert in_files(folder, HER.values()) == []
        found = stage.system.eraser.find(job)
        assert found is not None
        its_job, plan = found
        assert plan is None
        receipt = msgspec.to_builtins(its_job.receipt)
        return receipt | {"done_at": None}, told_of_others(stage.client)
