"""Files of a feed in the landing folder: few, the same whatever the partitioning, and there by rename."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake import files
from offerlake.simulate.feed import Feed

USERS_PER_FILE = 50_000
"""A period's file is split once for each so many users, so that no task grows with the shop."""
_WORK = ".simulate"


@dataclass(frozen=True)
class Landing:
    """Where feeds land.

    Attributes:
        root: The landing folder or URI.
        splits: Files of each period.
    """

    root: str
    splits: int

    def keep(self, frame: DataFrame, name: str) -> DataFrame:
        """Stores an intermediate frame beside the feeds, and reads it back: what follows starts from stored rows."""
        path = f"{self.root}/{_WORK}/kept/{name}"
        frame.write.mode("overwrite").parquet(path)
        return frame.sparkSession.read.parquet(path)

    def write(self, feed: Feed) -> tuple[DataFrame, int]:
        """Writes a feed; what lay in its folder is replaced.

        Returns:
            Its records as stored, with `record` and `dirt`; and how many there are, a CSV's headers not counted.
        """
        part = F.pmod(F.xxhash64("record"), F.lit(self.splits)).cast("int")
        wanted = feed.columns if feed.form == "parquet" else ("line",)
        order = ("file", "arrived_ms", "record", "dirt")
        numbered = feed.frame.withColumn("file", (F.col("period") * self.splits + part).cast("int"))
        records = self.keep(numbered.select(*order, *wanted), f"records/{feed.name}")
        sizes = {row["file"]: int(row["count"]) for row in records.groupBy("file").count().collect()}
        rows = records if feed.form != "csv" else records.unionByName(_headers(records, feed, sorted(sizes)))
        count = len(feed.names) * self.splits
        sorted_rows = rows.repartitionById(count, F.col("file")).sortWithinPartitions(*order).select(*wanted)
        work = f"{self.root}/{_WORK}/{feed.name}"
        writer = sorted_rows.write.mode("overwrite")
        if feed.form == "parquet":
            writer.option("compression", "zstd").parquet(work)
        else:
            writer.text(work)
        self._rename(records, feed, work, sizes)
        return records, sum(sizes.values())

    def clear(self, frame: DataFrame) -> None:
        """Deletes what was kept."""
        files.delete(frame.sparkSession, f"{self.root}/{_WORK}")

    def _rename(self, frame: DataFrame, feed: Feed, work: str, sizes: dict[int, int]) -> None:
        spark = frame.sparkSession
        for name in files.names(spark, work):
            number = int(name.split("-")[1]) if name.startswith("part-") else -1
            if number in sizes:
                split = f"-{number % self.splits:02d}" if self.splits > 1 else ""
                files.rename(spark, f"{work}/{name}", f"{work}/{feed.names[number // self.splits]}{split}.{feed.form}")
            else:
                files.delete(spark, f"{work}/{name}")
        files.rename(spark, work, f"{self.root}/{feed.name}")


def _headers(records: DataFrame, feed: Feed, numbers: list[int]) -> DataFrame:
    """One line for each file that has records, before them all."""
    header = ",".join(feed.columns)
    return records.sparkSession.createDataFrame([(number, -1, "", "", header) for number in numbers], records.schema)
