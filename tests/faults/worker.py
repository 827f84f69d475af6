"""A process that ingests and is killed: `worker.py stream|ingest POINT SET…`.

It kills its own process group, Spark's JVM too, at the POINT-th boundary of a write (before the first is 1, after it 2,
and so on), unless it is killed from outside or has ended before; 0: never.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

from offerlake.cli.progress import note
from offerlake.config import load_settings
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.session import open_session
from offerlake.stream import stream
from offerlake.tables import Lake, Written


def main(mode: str, point: int, sets: list[str]) -> None:
    """Runs one scheduled ingest, or a stream until it is killed."""
    passed = 0

    def boundary(name: str) -> None:
        nonlocal passed
        passed += name in ("raw_users", "raw_orders", "quarantine")
        if passed == point:
            os.killpg(0, signal.SIGKILL)

    write: Callable[..., Written] = Lake.write

    def counted(lake: Lake, name: str, *args: Any, **kwargs: Any) -> Written:
        boundary(name)
        written = write(lake, name, *args, **kwargs)
        boundary(name)
        return written

    Lake.write = counted  # type: ignore[method-assign]
    settings = load_settings([], sets, env={})
    spark = open_session(settings.spark, app="faults")
    if mode == "stream":
        stream(spark, settings, tell=note)
    else:
        note("Listening")
        execute(load_jobs()["ingest"], spark=spark, settings=settings, as_of=date(2025, 1, 31), run_id="killed")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
