"""What a job is, what it sees, and how it runs: in the pipeline's session or alone by spark-submit."""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from offerlake.artifacts import Artifacts, Model
from offerlake.config import Settings, load_settings
from offerlake.errors import ConfigError, EnvironmentProblem, OfferlakeError, SchemaError
from offerlake.ledger import Ledger, choose_run_id
from offerlake.schemas import table
from offerlake.session import open_session
from offerlake.tables import Lake, Note, Once, Slice, explained
from offerlake.windows import parse_as_of


@dataclass(frozen=True)
class Need:
    """A package that a job imports and that an installation may lack.

    Attributes:
        package: Its name, as it is imported.
        fix: What brings it, or does without it.
        why: What asks for it, where a setting does: a half sentence for the message.
    """

    package: str
    fix: str
    why: str = ""


@dataclass(frozen=True)
class Job:
    """One step of the pipeline.

    Attributes:
        name: The file's name in `jobs/`.
        reads: Tables, and models as `model:name`.
        writes: Likewise; `publish` and `report` stand for what leaves the lake.
        run: Reads, makes one pure call, writes.
        when: Whether the settings want it at all.
        main_thread: Whether it has to run in the process's main thread.
        looks_outside: Whether it reads what no table tells of: it is never left out.
        gate: Whether it may stop the run: who reads one of the tables it reads waits for it, but for those before it.
        needs: Packages that it imports with these settings and that an installation may lack.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[Context], None]
    when: Callable[[Settings], bool] = lambda _: True
    main_thread: bool = False
    looks_outside: bool = False
    gate: bool = False
    needs: Callable[[Settings], tuple[Need, ...]] = lambda _: ()

    def check_packages(self, settings: Settings) -> None:
        """Finds what would stop the job only after hours, or after Spark has started.

        Raises:
            EnvironmentProblem: A package is missing.
        """
        for need in self.needs(settings):
            if importlib.util.find_spec(need.package) is None:
                raise EnvironmentProblem(
                    f"job {self.name}: {need.why}the package {need.package} is not installed", fix=need.fix
                )


@dataclass
class Context:
    """All that a job may touch. Reads are pinned to the version the job saw first."""

    spark: SparkSession
    settings: Settings
    as_of: date
    run_id: str
    job: Job
    attempt: int
    lake: Lake
    force: bool = False
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    _metrics: list[tuple[Any, ...]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, name: str) -> DataFrame:
        """A table that the job declares in `reads`, at the version it had when first read.

        Raises:
            MissingTableError: It has not been written yet.
            SchemaError: It is not what its contract says, or the job does not declare it.
        """
        self._declared(name, self.job.reads, "reads")
        if name not in self.inputs:
            self.inputs[name] = self.lake.version(name)
        return self.lake.read(name, version=self.inputs[name])

    def write(
        self,
        name: str,
        frame: DataFrame,
        *,
        where: Slice | None = None,
        once: Once | None = None,
        note: Note | None = None,
    ) -> int:
        """Writes a table that the job declares in `writes`, see `Lake.write`; returns the rows written."""
        self._declared(name, self.job.writes, "writes")
        written = self.lake.write(name, frame, where=where, once=once, note=note)
        # To add nothing changes nothing; to replace by nothing does.
        if written.rows or where is not None or table(name).mode == "replace":
            with self._lock:  # parts of a job side by side may write one table
                self.outputs[name] = max(written.version, self.outputs.get(name, 0))
        return written.rows

    def count(self, **counts: int) -> None:
        """Adds to the ledger's `rows_in`, `rows_out`, `duplicates` or `quarantined` of this job."""
        for name, number in counts.items():
            self.counts[name] = self.counts.get(name, 0) + number

    def metric(
        self,
        name: str,
        value: float | None,
        *,
        low: float | None = None,
        high: float | None = None,
        part: str = "all",
    ) -> None:
        """Notes a number for the table `metrics`; written when the job ends well."""
        numbers = (None if x is None or not math.isfinite(x) else float(x) for x in (value, low, high))
        self._metrics.append((self.run_id, self.as_of, name, part, *numbers))

    def draft_model(self, name: str, settings: Mapping[str, Any]) -> Model:
        """A new version of a model that the job declares as `model:name` in `writes`, to write files into.

        The seed of the run belongs to its settings.
        """
        self._declared(f"model:{name}", self.job.writes, "writes")
        return Artifacts(self.lake).draft(
            name, f"{self.run_id}-{self.attempt}", {"seed": self.settings.run.seed, **settings}
        )

    def publish_model(self, model: Model, *, status: str = "live") -> None:
        """Makes a written draft the model in use; the numbers noted so far go with it."""
        known = {name: value for _, _, name, part, value, *_ in self._metrics if part == "all" and value is not None}
        Artifacts(self.lake).publish(model, run_id=self.run_id, inputs=self.inputs, metrics=known, status=status)

    def model(self, name: str) -> Model:
        """The live version of a model that the job declares as `model:name` in `reads`.

        Raises:
            MissingTableError: There is none.
        """
        self._declared(f"model:{name}", self.job.reads, "reads")
        return Artifacts(self.lake).load(name)

    def flush_metrics(self) -> None:
        """Writes the numbers noted so far; what an earlier attempt may have written is replaced."""
        if self._metrics:
            frame = self.spark.createDataFrame(self._metrics, schema=table("metrics").struct)
            self.lake.write("metrics", frame, fresh=self.attempt == 1)
            self._metrics.clear()

    def _declared(self, name: str, names: Sequence[str], what: str) -> None:
        if name not in names:
            raise SchemaError(f"job {self.job.name}: {name} is not in its `{what}`", fix=f"Add it to JOB.{what}.")


def execute(
    job: Job,
    *,
    spark: SparkSession,
    settings: Settings,
    as_of: date,
    run_id: str,
    force: bool = False,
    ledger: Ledger | None = None,
) -> Context:
    """Runs one job with its ledger rows; the error of a job that fails is in the ledger and is raised again.

    `ledger` is the pipeline's own, whose lake knows the tables that have been checked.
    """
    ledger = ledger or Ledger(Lake(spark, settings.run.lake), settings, run_id=run_id, as_of=as_of)
    attempt = ledger.attempt(job.name)
    context = Context(spark, settings, as_of, run_id, job, attempt, ledger.lake, force)
    ledger.record(job.name, attempt, "start")
    begun = time.monotonic()
    spark.sparkContext.setJobDescription(job.name)  # what Spark's pages call its work
    try:
        job.run(context)
        context.flush_metrics()
    except Exception as error:
        known = explained(f"job {job.name}", error)
        text = f"{type(known).__name__}: {known}"[:2000]
        ledger.record(job.name, attempt, "fail", seconds=time.monotonic() - begun, error=text)
        if known is error:
            raise
        raise known from error
    ledger.record(
        job.name,
        attempt,
        "finish",
        inputs=context.inputs,
        outputs=context.outputs,
        seconds=time.monotonic() - begun,
        **context.counts,
    )
    return context


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options that every job has."""
    parser.add_argument("--as-of", required=True, metavar="DATE", help="UTC day: what had arrived before it counts")
    parser.add_argument("--config", action="append", default=[], help="overlay: a file, or a name in conf/")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="A.B=VALUE", help="one setting")
    parser.add_argument("--lake", help="run.lake")
    parser.add_argument("--landing", help="run.landing: where the feeds lie; ingest alone reads it")
    parser.add_argument("--source", help="run.source: the feeds' mapping, a file or a name in conf/sources")
    parser.add_argument("--truth", help="evaluate.truth: of a test shop, what is true; evaluate alone reads it")
    parser.add_argument("--force", action="store_true", help="assign a day anew whose run has been published")


def main(job: Job, argv: Sequence[str] | None = None) -> None:
    """Runs a job alone: `spark-submit jobs/<job>.py --as-of 2025-09-03`, or plainly with python.

    Ends the process with the exit code of the error, and a message instead of a stack trace for a user's mistake.
    """
    parser = argparse.ArgumentParser(prog=job.name, description=sys.modules["__main__"].__doc__)
    add_run_options(parser)
    options = parser.parse_args(argv)
    try:
        run = {f"run.{name}": getattr(options, name) for name in ("lake", "landing", "source")}
        places = run | {"evaluate.truth": options.truth}
        settings = load_settings(options.config, options.sets, given=places)
        as_of = parse_as_of(options.as_of)
        if not job.when(settings):
            raise ConfigError(f"job {job.name}: the settings leave it out", fix="See its section in conf/base.yaml.")
        job.check_packages(settings)
        spark = open_session(settings.spark, app=job.name)
        execute(
            job,
            spark=spark,
            settings=settings,
            as_of=as_of,
            run_id=choose_run_id(
                Lake(spark, settings.run.lake),
                settings,
                as_of,
                force=options.force,
                assigned="user_offers" in job.reads,
            ),
            force=options.force,
        )
    except OfferlakeError as error:
        sys.stderr.write(f"{error.kind}: {error.message}\n{error.fix}\n")
        sys.exit(error.exit_code)
