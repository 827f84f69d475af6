"""Ingesting for as long as the process runs: one streaming query a topic, and one a folder that tells of new files.

A folder's query is Spark's file stream, of which only the news counts that something is new: which files those are
says bronze, as in a scheduled run. So a file that had to be landed again or was removed stops nothing.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from offerlake import files
from offerlake.config import Settings
from offerlake.ingest import landing
from offerlake.ingest.kafka import BrokersAway, check_servers, explained
from offerlake.ingest.mapping import Feed, load_source
from offerlake.intake import READS, WRITES, Intake, known_columns
from offerlake.job import Context, Job, execute
from offerlake.schemas.bronze import FEEDS

RUN_ID = "stream"
_LOOK = 0.5  # seconds between two looks whether a query has failed
_AGES = "36500d"  # Spark's file stream leaves out files that are this much older than the newest


@dataclass
class _Running:
    """A query that is started again while the brokers are away; `since`: when they were missed first.

    `path`: the files that it watches; nothing: it reads a topic.
    """

    intake: Intake
    start: Callable[[], StreamingQuery]
    query: StreamingQuery
    path: str = ""
    since: float | None = None


def stream(spark: SparkSession, settings: Settings, *, tell: Callable[[str], None]) -> dict[str, int]:
    """Ingests until SIGTERM or SIGINT comes: batches that are being written are written, then it returns.

    Args:
        spark: The session.
        settings: The settings.
        tell: Is told of each batch, and of brokers that are away.

    Returns:
        rows_in, rows_out and quarantined since it began; the ledger has them as job `stream`.

    Raises:
        OfferlakeError: A feed failed; the others were stopped.
    """
    day: date = datetime.now(tz=UTC).date()
    job = Job(name="stream", reads=READS, writes=WRITES, run=lambda ctx: _run(ctx, tell))
    return execute(job, spark=spark, settings=settings, as_of=day, run_id=RUN_ID).counts


def _run(ctx: Context, tell: Callable[[str], None]) -> None:
    source = load_source(ctx.settings.run.source)
    check_servers(source, ctx.settings.ingest.kafka)
    columns = known_columns(ctx)
    for name in FEEDS:
        ctx.lake.create(f"raw_{name}")  # who cleans it finds it
    intakes = [Intake(ctx, source, name, columns[name]) for name in FEEDS if name in source.feeds]
    running: list[_Running] = []
    with _signals() as stop:
        try:
            for intake in intakes:
                running += _started(ctx, intake, tell)
            tell(f"Listening to {', '.join(intake.name for intake in intakes)}.")
            while not stop.wait(_LOOK):
                for each in running:
                    _look_after(each, ctx.settings, tell)
        finally:
            for intake in intakes:
                with intake.lock:  # a batch that is being written is written
                    intake.stopping = True
            for each in running:
                each.query.stop()
            for intake in intakes:
                ctx.count(rows_in=intake.taken.rows, rows_out=intake.taken.written, quarantined=intake.taken.refused)
                if intake.feed.topic:
                    ctx.metric(f"ingest.{intake.name}.lost_offsets", intake.taken.lost)


def _started(ctx: Context, intake: Intake, tell: Callable[[str], None]) -> Iterator[_Running]:
    trigger: dict[str, Any] = {"processingTime": f"{ctx.settings.ingest.trigger_seconds} seconds"}
    if intake.feed.topic:

        def listen() -> StreamingQuery:
            return intake.start(trigger, tell=tell)

        yield _Running(intake, listen, listen())
        return
    for number, group in enumerate(intake.feed.groups):
        place = f"{ctx.lake.root}/checkpoints/ingest/{intake.name}/{number}"

        def look(group: Feed = group, place: str = place) -> StreamingQuery:
            with landing.looking(intake.name, group.path):
                news = _news(ctx, group)
            return intake.each(news, lambda *_: intake.take_files(tell=tell), at=place, trigger=trigger)

        yield _Running(intake, look, look(), path=group.path)


def _news(ctx: Context, group: Feed) -> DataFrame:
    """A stream with something in it whenever files have come."""
    place = f"{files.qualified(ctx.spark, ctx.settings.run.landing).rstrip('/')}/{group.path.rstrip('/')}"
    if group.format == "delta":
        return ctx.spark.readStream.format("delta").option("skipChangeCommits", "true").load(place)
    if not set(place) & set("*?[]{}\\"):
        # What is no pattern Spark's file stream takes for a folder; a pattern of one name may be a file's too.
        place = f"{place[:-1]}[{place[-1]}]"
    return ctx.spark.readStream.format("text").option("maxFileAge", _AGES).load(place)


def _look_after(each: _Running, settings: Settings, tell: Callable[[str], None]) -> None:
    """Raises the error of a query that has failed; starts it again where its brokers are away, for a while."""
    kafka, intake = settings.ingest.kafka, each.intake
    if each.query.isActive:
        if each.since is not None and each.query.lastProgress is not None:
            each.since = None
            tell(f"{intake.name}: the brokers are back.")
        return
    looks = each.path and intake.error is None  # no batch failed, but the look into the folder
    known = landing.looking(intake.name, each.path) if looks else explained(intake.name, intake.feed.topic, kafka)
    try:
        with known:
            raise intake.error or each.query.exception() or RuntimeError(f"{intake.name}: its query ended")
    except BrokersAway as away:
        now = time.monotonic()
        each.since = now if each.since is None else each.since
        if now - each.since > 60 * kafka.wait_minutes:
            raise
        tell(f"{away.message} Trying again.")
        time.sleep(_LOOK)
        each.query = each.start()


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, in place of what they do else."""
    stop = threading.Event()
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
