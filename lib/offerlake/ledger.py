"""The run ledger `ops/runs`, and the identity of a run."""

from __future__ import annotations

import functools
import hashlib
import threading
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

import offerlake
from offerlake.config import Settings
from offerlake.ingest.mapping import source_file
from offerlake.schemas import table
from offerlake.tables import Lake

PIPELINE = "pipeline"
PUBLISH = "publish_offers"


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
    """12 hex digits over as_of, settings (seed included), mapping, code version, and how often the day was forced."""
    mapping = source_file(settings.run.source)
    mapped = hashlib.sha256(mapping.read_bytes() if mapping.is_file() else b"").hexdigest()
    text = f"{as_of.isoformat()}|{settings.hash}|{mapped}|{code_version()}|{salt}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def published_runs(lake: Lake, as_of: date) -> set[str]:
    """Runs that have published this day: their rows of `user_offers` are final."""
    if not lake.exists("runs"):
        return set()
    done = (F.col("job") == PUBLISH) & (F.col("event") == "finish") & (F.col("as_of") == as_of)
    return {row["run_id"] for row in lake.read("runs").where(done).select("run_id").distinct().collect()}


def choose_run_id(lake: Lake, settings: Settings, as_of: date, *, force: bool) -> str:
    """The run's identity. With `force` one that has not been published yet: the day is assigned anew beside it."""
    taken = published_runs(lake, as_of) if force else set()
    return next(run_id for run_id in (run_id_of(settings, as_of, salt=k) for k in count()) if run_id not in taken)


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
        if not self.lake.exists("runs"):
            return {}
        starts = self._events().where(F.col("event") == "start").groupBy("job").agg(F.count("*").alias("number"))
        return {row["job"]: row["number"] for row in starts.collect()}

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

    def unfinished(self) -> set[str]:
        """Jobs that this run had finished when it was last cut short; empty after a whole run."""
        if not self.lake.exists("runs"):
            return set()
        done: set[str] = set()
        rows = self._events().where(F.col("event") == "finish").orderBy("time").select("job")
        for (job,) in rows.collect():
            done = set() if job == PIPELINE else done | {job}
        return done

    def _events(self) -> DataFrame:
        return self.lake.read("runs").where(F.col("run_id") == self.run_id)
