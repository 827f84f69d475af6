"""The jobs as a graph by the tables they read and write, and how a run of them goes and resumes."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.errors import ConfigError
from offerlake.job import Job, execute
from offerlake.ledger import PIPELINE, Ledger, choose_run_id, jobs_dir
from offerlake.tables import Lake


@dataclass(frozen=True)
class Progress:
    """One step of a run, as told to whoever shows it: `state` is start, done or skipped."""

    job: str
    state: str
    number: int
    of: int
    seconds: float = 0.0


def load_jobs(folder: Path | None = None) -> dict[str, Job]:
    """Loads every `JOB` in the folder `jobs`, in an order in which each comes after those whose output it reads."""
    found: dict[str, Job] = {}
    for path in sorted((folder or jobs_dir()).glob("*.py")):
        if path.name.startswith("_"):
            continue
        module_name = f"offerlake_jobs.{path.stem}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None, path
        assert spec.loader is not None, path
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
        found[module.JOB.name] = module.JOB
    return {name: found[name] for name in _order(found)}


def _order(jobs: dict[str, Job]) -> list[str]:
    # `quarantine` is written by several jobs, each its own slice; who reads it comes after all of them.
    writers: dict[str, set[str]] = {}
    for job in jobs.values():
        for name in job.writes:
            writers.setdefault(name, set()).add(job.name)
    graph = {
        job.name: {writer for name in job.reads for writer in writers.get(name, set()) if writer != job.name}
        for job in jobs.values()
    }
    sorter = TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise ConfigError(f"jobs: they wait for each other: {error.args[1]}", fix="Mend their reads.") from None


def select(
    jobs: dict[str, Job], *, first: str | None = None, last: str | None = None, only: Sequence[str] = ()
) -> list[Job]:
    """The part of the pipeline that `--from`, `--to` and `--only` name, in order.

    Raises:
        ConfigError: A name is not a job's.
    """
    names = list(jobs)
    for name in (*([first] if first else []), *([last] if last else []), *only):
        if name not in jobs:
            raise ConfigError(f"job {name!r} does not exist", fix=f"There are {', '.join(names)}.")
    if only:
        return [jobs[name] for name in names if name in only]
    begin = names.index(first) if first else 0
    end = names.index(last) + 1 if last else len(names)
    return [jobs[name] for name in names[begin:end]]


def run(
    spark: SparkSession,
    settings: Settings,
    as_of: date,
    *,
    part: Sequence[Job] | None = None,
    force: bool = False,
    tell: Callable[[Progress], None] = lambda _: None,
) -> str:
    """Runs the pipeline, or a part of it, and returns the run_id.

    A whole run that was cut short goes on after the last job that had finished; a part always runs.
    """
    lake = Lake(spark, settings.run.lake)
    run_id = choose_run_id(lake, settings, as_of, force=force)
    ledger = Ledger(lake, settings, run_id=run_id, as_of=as_of)
    whole = part is None
    todo = [job for job in (load_jobs().values() if part is None else part) if job.when(settings)]
    done = ledger.unfinished() if whole else set()
    attempt = ledger.attempt(PIPELINE)
    if whole:
        ledger.record(PIPELINE, attempt, "start")
    begun = time.monotonic()
    for number, job in enumerate(todo, start=1):
        if job.name in done:
            tell(Progress(job.name, "skipped", number, len(todo)))
            continue
        tell(Progress(job.name, "start", number, len(todo)))
        since = time.monotonic()
        execute(job, spark=spark, settings=settings, as_of=as_of, run_id=run_id, force=force, lake=lake)
        tell(Progress(job.name, "done", number, len(todo), time.monotonic() - since))
    if whole:
        ledger.record(PIPELINE, attempt, "finish", seconds=time.monotonic() - begun)
    return run_id
