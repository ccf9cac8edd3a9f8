"""Does the erasures that were asked for in a data folder, in a process that dies when a step is done and not yet noted.

    python -m tests.cdp.dying_eraser FOLDER [STEP]

Without a step it lives to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from cdp.eraser import Eraser
from cdp.erasure import Step
from cdp.erasure_jobs import Job, Plan
from cdp.settings import Settings
from cdp.wiring import open_system


def die_in(name: str) -> None:
    do = Eraser._do

    def dying(self: Eraser, step: Step, job: Job, plan: Plan) -> None:
        if step.__name__ == name:
            step(self._tools, job, plan)
            os.kill(os.getpid(), signal.SIGKILL)
        do(self, step, job, plan)

    Eraser._do = dying  # type: ignore[method-assign]


if __name__ == "__main__":
    if len(sys.argv) > 2:
        die_in(sys.argv[2])
    system = open_system(Settings(data_dir=Path(sys.argv[1])))
    system.eraser.drain()
    system.close()
