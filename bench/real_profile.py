"""A process of the product as `python -m cdp`, with a look every few milliseconds at what its worker does.

    python -m bench.real_profile FILE serve --role worker

At its end FILE has, as JSON, the wall time that the worker's thread spent in each step of the pipeline, and where in
each it was found most often, by share: in our own code, in a library, or waiting for a store.
"""

from __future__ import annotations

import atexit
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from cdp.cli import main
from cdp.pipeline import STEPS, commit, publish, translate

EVERY_S = 0.004
PLACES = 6
"""Of a step, the most frequent."""
STEP_CODES = {step.__code__: step.__name__ for step in (translate, *STEPS, commit, publish)}
_seen: dict[str, Counter[str]] = {}


def _look() -> None:
    while True:
        time.sleep(EVERY_S)
        worker = next((each.ident for each in threading.enumerate() if each.name == "worker"), None)
        frame = sys._current_frames().get(worker or 0)
        if frame is not None:
            _seen.setdefault(_step(frame), Counter())[_place(frame)] += 1


def _step(frame: FrameType) -> str:
    at: FrameType | None = frame
    while at is not None:
        if at.f_code in STEP_CODES:
            return STEP_CODES[at.f_code]
        if at.f_code.co_name in ("poll", "opened"):
            return at.f_code.co_name
        at = at.f_back
    return "other"


def _place(frame: FrameType) -> str:
    """The innermost function of ours, and under it the library where it is."""
    at: FrameType | None = frame
    while at is not None and "/lib/python" in at.f_code.co_filename:
        at = at.f_back
    ours = f"{Path(at.f_code.co_filename).stem}.{at.f_code.co_name}" if at else "?"
    leaf = "" if at is frame else f" > {Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
    return ours + leaf


def _write(path: Path, began: float) -> None:
    seconds = time.monotonic() - began
    total = sum(sum(places.values()) for places in _seen.values())
    told = {
        step: {
            "seconds": sum(places.values()) / total * seconds,
            "places": {place: round(count / total, 3) for place, count in places.most_common(PLACES)},
        }
        for step, places in sorted(_seen.items(), key=lambda each: -sum(each[1].values()))
    }
    path.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    atexit.register(_write, Path(sys.argv.pop(1)), time.monotonic())
    threading.Thread(target=_look, daemon=True).start()
    main()
