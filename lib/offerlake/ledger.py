"""The run ledger `ops/runs`, and the identity of a run."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import Column, Row
from pyspark.sql import functions as F

import offerlake
from offerlake.config import Settings
from offerlake.documents import named_file
from offerlake.ingest import mapping
from offerlake.quality import expectations
from offerlake.schemas import table
from offerlake.tables import Lake

PIPELINE = "pipeline"
ASSIGN, PUBLISH = "assign_offers", "publish_offers"


@functools.cache
def code_version() -> str:
    """Version and hash of the code: of every module of the package and every job."""
    digest = hashlib.sha256()
    for folder in (Path(offerlake.__file__).parent, jobs_dir()):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return f"{offerlake.__version__}+{digest.hexdigest()[:8]}"


def jobs_dir() -> Path:
    """The folder `jobs`: inside the wheel, or at the top of a checkout."""
    packaged = Path(offerlake.__file__).parent / "_jobs"
    return packaged if packaged.is_dir() else Path(offerlake.__file__).parents[2] / "jobs"


def run_id_of(settings: Settings, as_of: date, *, salt: int = 0) -> str:
    """12 hex digits over as_of, settings (seed included), mapping, expectations, code version, and the times forced."""
    text = f"{as_of.isoformat()}|{settings.hash}|{files_hash(settings)}|{code_version()}|{salt}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def files_hash(settings: Settings) -> str:
    """Over the files that settings name: the mapping and the expectations."""
    files = [named_file(mapping.FOLDER, settings.run.source)]
    if settings.quality.expectations is not None:
        files.append(named_file(expectations.FOLDER, settings.quality.expectations))
    return "|".join(hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest() for file in files)


def published_runs(lake: Lake, as_of: date) -> set[str]:
    """Runs that have published this day: their rows of `user_offers` are final."""
    done = (F.col("job") == PUBLISH) & (F.col("event") == "finish") & (F.col("as_of") == as_of)
    return {row["run_id"] for row in _events(lake, done)}


def choose_run_id(lake: Lake, settings: Settings, as_of: date, *, force: bool, assigned: bool = False) -> str:
    """The run's identity. With `force` one that has not been published: the day is assigned anew beside those that are.

    A forced pipeline that was cut short after it had published goes on, and a job that needs what has been `assigned`
    belongs to the newest run that did so.
    """
    newest, salt = run_id_of(settings, as_of), 0
    if not force:
        return newest
    events = _events(lake, F.col("as_of") == as_of)
    while True:
        run_id = run_id_of(settings, as_of, salt=salt)
        own = [row for row in events if row["run_id"] == run_id]
        done = {row["job"] for row in own if row["event"] == "finish"}
        cut_short = salt > 0 and [row["event"] for row in own if row["job"] == PIPELINE][-1:] == ["start"]
        if PUBLISH not in done or cut_short:
            return newest if assigned and ASSIGN not in done else run_id
        newest, salt = run_id, salt + 1


def _events(lake: Lake, where: Column) -> list[Row]:
    """Events in the order in which they happened."""
    return lake.read("runs").where(where).orderBy("time").collect() if lake.exists("runs") else []


class Ledger:
    """Writes and reads the events of one run; jobs side by side share it."""

    def __init__(self, lake: Lake, settings: Settings, *, run_id: str, as_of: date) -> None:
        self.lake = lake
        self._settings = settings
        self.run_id = run_id
        self.as_of = as_of
        self._begun: dict[str, int] | None = None  # job to its starts, read once: a query takes as long as a small job
        self._lock = threading.Lock()

    def attempt(self, job: str) -> int:
        """Number of the attempt that begins now, from 1."""
        with self._lock:
            if self._begun is None:
                self._begun = self._starts()
            self._begun[job] = self._begun.get(job, 0) + 1
            return self._begun[job]

    def _starts(self) -> dict[str, int]:
        starts = _events(self.lake, (F.col("run_id") == self.run_id) & (F.col("event") == "start"))
        return Counter(row["job"] for row in starts)

    def record(self, job: str, attempt: int, event: str, **fields: Any) -> None:
        """Appends one event: start, finish or fail; `fields` are further columns of `runs`."""
        row = {
            "run_id": self.run_id,
            "job": job,
            "attempt": attempt,
            "event": event,
            "time": datetime.now(tz=UTC),
            "as_of": self.as_of,
            "config_hash": self._settings.hash,
            "code_version": code_version(),
            "inputs": {},
            "outputs": {},
            **fields,
        }
        contract = table("runs")
        values = tuple(row.get(name) for name in contract.names)
        self.lake.write("runs", self.lake.spark.createDataFrame([values], schema=contract.struct))

    def finished(self, upstream: Mapping[str, Collection[str]], *, outside: Collection[str]) -> set[str]:
        """Jobs that this run need not do again: they have finished since it was last begun from its first job.

        None of those whose output a job reads may have ended later, in any run, than the job began.

        Args:
            upstream: Each job to those whose output it reads.
            outside: Jobs that may end without having changed anything: their event has no outputs then.
        """
        begun: dict[str, datetime] = {}
        done: dict[str, datetime] = {}
        changed: dict[str, datetime] = {}
        for row in _events(self.lake, F.col("event").isin("start", "finish")):
            job, own, ends = row["job"], row["run_id"] == self.run_id, row["event"] == "finish"
            if ends and (row["outputs"] or job not in outside):
                changed[job] = row["time"]
            if own and ends and job == PIPELINE:
                done.clear()
            elif own and ends:
                done[job] = begun[job]
            elif own:
                begun[job] = row["time"]
                done.pop(job, None)
        return {
            job
            for job, since in done.items()
            if all(changed.get(each, since) <= since for each in upstream.get(job, ()))
        }
