"""One feed on its way into bronze, each record once: new files, or the messages of its topic.

Bronze itself says what is in: files by name, messages by partition and offset. So a lost checkpoint loses and doubles
nothing, and scheduled runs and `offerlake stream` may take turns on one lake. Of a batch the quarantine is written
first, by record, then the table in one commit, which holds the number of the writer's batch: a batch that is made again
after a kill is not written again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from offerlake import files
from offerlake.errors import DataError, EnvironmentProblem
from offerlake.ingest.feed import Batch, read_feed
from offerlake.ingest.kafka import explained, lost, read_stream
from offerlake.ingest.mapping import NEVER_NONE, Source
from offerlake.ingest.messages import read_batch
from offerlake.ingest.records import MOST_COLUMNS, Kinds
from offerlake.job import Context
from offerlake.schemas import table
from offerlake.schemas.bronze import FEEDS

RAW = tuple(f"raw_{name}" for name in FEEDS)
READS = (*RAW, "source_columns")
WRITES = (*RAW, "quarantine", "source_columns")
_FILES = "offerlake files"  # the writer of files' rows, to Delta
_ROWS_A_FILE = 100_000  # of bronze, about: what was read in small parts is written in larger ones


@dataclass
class Taken:
    """What has come in of a feed: records, those refused and those left to other feeds, rows written, files.

    `lost`: offsets of its topic that were deleted before they were read.
    """

    rows: int = 0
    refused: int = 0
    others: int = 0
    written: int = 0
    files: int = 0
    without_rows: set[str] = field(default_factory=set)
    lost: int = 0
    new_columns: int = 0
    changed_types: int = 0


class Stopping(Exception):
    """A micro-batch began while everything stops: it is not made, and comes again."""


class Intake:
    """One feed of one lake, for as long as its process runs.

    Attributes:
        name: The feed.
        feed: Its mapping.
        before: Rows of its bronze table when it was opened.
        taken: What has come in since.
        lock: Held while a batch is made and written.
        stopping: Set by who holds the lock: no further batch is made.
        error: Of the last batch, if it failed.
    """

    def __init__(self, ctx: Context, source: Source, name: str, columns: set[tuple[str, str]]) -> None:
        """Reads what is in bronze; `columns`: the source's columns of this feed that are known, with their types."""
        self._ctx, self.name, self.feed = ctx, name, source.feed(name)
        self._settings = ctx.settings.ingest
        self._raw = f"raw_{name}"
        self._landing = files.qualified(ctx.spark, ctx.settings.run.landing)
        self._columns = columns
        self._known: dict[str, int] = {}  # files and partitions of topics to their rows
        self._last: dict[int, int] = {}  # partitions of the topic to the offset up to which all is in
        if ctx.lake.exists(self._raw):
            number = F.max(F.expr("try_cast(source_position AS bigint)"))
            place = f"kafka:{self.feed.topic}/"
            for source_, rows, last in ctx.read(self._raw).groupBy("source").agg(F.count("*"), number).collect():
                self._known[source_] = rows
                if self.feed.topic and source_.startswith(place):
                    self._last[int(source_.removeprefix(place))] = last
        self._version = ctx.inputs.get(self._raw, 0)
        self.before = sum(self._known.values())
        self.taken = Taken()
        self.lock = threading.Lock()
        self.stopping = False
        self.error: Exception | None = None

    def read(self, loaded_at: datetime, *, most: int | None = None) -> Batch | None:
        """The feed's new files, see `read_feed`."""
        return read_feed(
            self._ctx.spark,
            self.name,
            self.feed,
            landing=self._landing,
            known={*self._known, *self.taken.without_rows},
            loaded_at=loaded_at,
            quote=self._settings.max_value_chars,
            seen={column for column, _ in self._columns},
            most=most,
        )

    def write_files(self, batch: Batch) -> None:
        """Writes what `read` gave, whose columns have been noted.

        Raises:
            EnvironmentProblem: Another process has written the table since this one looked what is in it.
        """
        rows = self._write(batch, once=(_FILES, self._version + 1))
        if not rows and batch.rows > batch.refused:
            raise EnvironmentProblem(
                f"table {self._raw}: another run wrote it at the same time",
                fix="Wait for it and run again; where `offerlake stream` always runs set ingest.always_on=true.",
            )
        self._version = max(self._version + 1, self._ctx.outputs.get(self._raw, 0))
        self._known |= dict.fromkeys(batch.with_rows, 1)
        self.taken.files += batch.files
        self.taken.without_rows |= {*batch.without_rows}

    def take_files(self, *, tell: Callable[[str], None]) -> None:
        """Reads and writes new files, a part of them at a time, until there are none."""
        while True:
            loaded_at = datetime.now(tz=UTC)
            batch = self.read(loaded_at, most=self._settings.max_files)
            if batch is None:
                return
            note_columns(self._ctx, self.new_columns(batch.kinds, loaded_at))
            self.write_files(batch)
            tell(f"{self.name}: {batch.files} files, {batch.rows} records, {batch.refused} refused")

    def take_messages(self, messages: DataFrame, *, writer: str, number: int, tell: Callable[[str], None]) -> None:
        """Reads and writes one micro-batch of the topic.

        Args:
            messages: Kafka's columns.
            writer: The streaming query's id: a new checkpoint has a new one, and begins with number 0 again.
            number: The micro-batch's.
            tell: Is told what was written.
        """
        if self._last:
            pairs = [F.lit(each) for pair in self._last.items() for each in pair]
            done = F.try_element_at(F.create_map(*pairs), F.col("partition"))
            messages = messages.where(F.col("offset") > F.coalesce(done, F.lit(-1)))
        loaded_at = datetime.now(tz=UTC)
        seen = {column for column, _ in self._columns}
        quote = self._settings.max_value_chars
        batch = read_batch(messages, self.name, self.feed, loaded_at=loaded_at, quote=quote, seen=seen)
        note_columns(self._ctx, self.new_columns(batch.kinds, loaded_at))
        self._write(batch, once=(writer, number))
        if batch.rows:
            tell(f"{self.name}: {batch.rows} messages, {batch.refused} refused")

    def start(self, trigger: dict[str, Any], *, tell: Callable[[str], None] = lambda _: None) -> StreamingQuery:
        """Starts the topic's streaming query; it goes on where its checkpoint says.

        Raises:
            OfferlakeError: As `kafka.explained` says.
        """
        lake, topic = self._ctx.lake, self.feed.topic
        writer: Future[str] = Future()

        kafka, place = self._settings.kafka, f"{lake.root}/checkpoints/ingest/{self.name}/{topic}"

        def take(messages: DataFrame, number: int) -> None:
            skips = kafka.lost_offsets == "skip"
            gone = lost(self._ctx.spark, topic, kafka, checkpoint=place, batch=number) if skips else 0
            self.take_messages(messages, writer=writer.result(), number=number, tell=tell)
            if gone:
                self.taken.lost += gone
                tell(f"{self.name}: {gone} offsets of {topic} were deleted before they were read, and are left out")

        with explained(self.name, topic, kafka):
            stream = read_stream(self._ctx.spark, topic, kafka, most=self._settings.max_offsets)
            query = self.each(stream, take, at=place, trigger=trigger)
        writer.set_result(query.id)
        return query

    def each(
        self, stream: DataFrame, take: Callable[[DataFrame, int], None], *, at: str, trigger: dict[str, Any]
    ) -> StreamingQuery:
        """Starts a query that gives each micro-batch and its number to `take`, one at a time of this feed.

        Args:
            stream: What comes in.
            take: Takes it.
            at: The checkpoint's place.
            trigger: When, as Spark's `trigger` takes it.
        """

        def guarded(frame: DataFrame, number: int) -> None:
            with self.lock:
                if self.stopping:
                    raise Stopping
                try:
                    take(frame, number)
                except Exception as error:
                    self.error = error
                    raise

        self.error = None
        return stream.writeStream.foreachBatch(guarded).option("checkpointLocation", at).trigger(**trigger).start()

    def drain(self) -> None:
        """Takes all messages that the topic has when it begins, and ends.

        Raises:
            OfferlakeError: As `kafka.explained` says, or the feed is needed and has no usable message.
        """
        self._ctx.lake.create(self._raw)  # who cleans it finds it, if there are no messages yet
        query = self.start({"availableNow": True})
        with explained(self.name, self.feed.topic, self._settings.kafka):
            try:
                query.awaitTermination()
            except StreamingQueryException as error:
                raise (self.error or error) from error
        if self.name in NEVER_NONE and not self.before + self.taken.written:
            raise DataError(
                f"feed {self.name}: topic {self.feed.topic} has no message that can be used",
                fix=f"Fill it with {self.name}: without them nothing can be assigned.",
            )

    def _write(self, batch: Batch, *, once: tuple[str, int]) -> int:
        if batch.refused:
            self._ctx.write("quarantine", batch.quarantined)
        good = batch.good.coalesce(batch.rows // _ROWS_A_FILE + 1)
        rows = self._ctx.write(self._raw, good, once=once) if batch.rows or batch.files else 0
        batch.held.unpersist()
        self.taken.rows += batch.rows
        self.taken.refused += batch.refused
        self.taken.others += batch.others
        self.taken.written += rows
        return rows

    def new_columns(self, kinds: Kinds, loaded_at: datetime) -> list[tuple[Any, ...]]:
        """Rows of `source_columns` for what has not been seen; of a feed's first batch all are new."""
        new = {pair: source for pair, source in kinds.items() if pair not in self._columns}
        new = dict(sorted(new.items())[: max(0, MOST_COLUMNS - len(self._columns))])
        names = {column for column, _ in self._columns}
        if names:
            self.taken.new_columns += len({column for column, _ in new} - names)
        self.taken.changed_types += sum(column in names for column, _ in new)
        self._columns |= new.keys()
        return [(self.name, column, kind, source, loaded_at) for (column, kind), source in new.items()]


def note_columns(ctx: Context, rows: list[tuple[Any, ...]]) -> None:
    """Writes what `Intake.new_columns` gave, before the records themselves: a kill in between forgets no column."""
    if rows:
        contract = table("source_columns")
        ctx.write(contract.name, ctx.spark.createDataFrame(rows, contract.struct))


def known_columns(ctx: Context) -> dict[str, set[tuple[str, str]]]:
    """By feed the source's columns that are known, with their types."""
    found: dict[str, set[tuple[str, str]]] = {name: set() for name in FEEDS}
    if ctx.lake.exists("source_columns"):
        for feed, column, kind in ctx.read("source_columns").select("feed", "column", "type").collect():
            found[feed].add((column, kind))
    return found
