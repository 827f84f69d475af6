"""Which of the records of a key stays, in Polars; and what became of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl
from _polars_parse import ORIGIN

_LANDED = (pl.col("loaded_at"), pl.col("source"), pl.col("source_position").str.len_chars(), pl.col("source_position"))


@dataclass
class Feed:
    """What became of a feed's records so far.

    Attributes:
        name: The feed.
        good: Records that are good so far.
        refused: Frames of reasons, record and origin.
        duplicates: Records that said the same as another.
    """

    name: str
    good: pl.DataFrame
    refused: list[pl.DataFrame] = field(default_factory=list)
    duplicates: int = 0

    def refuse(self, wrong: pl.Expr, reasons: pl.Expr) -> None:
        """Moves good records to the refused ones, for a list of reasons."""
        marked = self.good.with_columns(wrong.fill_null(value=False).alias("wrong"))
        if marked["wrong"].any():
            self._refuse(marked.filter("wrong").drop("wrong"), reasons)
            self.good = marked.filter(~pl.col("wrong")).drop("wrong")

    def _refuse(self, rows: pl.DataFrame, reasons: pl.Expr) -> None:
        record = pl.struct(pl.exclude(*ORIGIN, "^_.*$")).struct.json_encode()
        self.refused.append(rows.select(reasons.alias("reasons"), record.alias("record"), *ORIGIN))

    def first_wins(self, *key: str) -> None:
        """The first to arrive of a key stays; the same again is a duplicate, other content is refused.

        Few keys come more than once: only their records are sorted.
        """
        again = pl.struct(key).is_duplicated() if len(key) > 1 else pl.col(key[0]).is_duplicated()
        marked = self.good.with_columns(again.alias("again"))
        ordered = marked.filter("again").drop("again").sort(*key, "arrived_at", *_LANDED)
        content = [name for name in self.good.columns if name not in (*key, *ORIGIN, "arrived_at")]
        same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).first().over(key)) for name in content)
        told = ordered.with_columns(
            (pl.int_range(pl.len()).over(key) == 0).alias("stays"), same.alias("same")
        )  # fmt: skip
        self.good = marked.filter(~pl.col("again")).drop("again")
        self._decide(told, ",".join(key))

    def versions(self, key: str) -> None:
        """What a product, user or offer says anew stays; the same as before is a duplicate.

        Of several at the very same time the first to land is the version, and other content is refused.
        """
        content = pl.struct(name for name in self.good.columns if name not in (key, *ORIGIN, "arrived_at")).hash()
        told = self.good.sort(key, "arrived_at", *_LANDED).with_columns(
            (pl.col("arrived_at") != pl.col("arrived_at").shift().over(key)).fill_null(value=True).alias("opens"),
            content.alias("content"),
        )
        version = pl.when("opens").then("content").forward_fill().over(key)
        told = told.with_columns(version.alias("version")).with_columns(
            pl.when("opens").then(pl.col("version").shift().over(key)).otherwise("version").alias("other")
        )
        same = (pl.col("content") == pl.col("other")).fill_null(value=False)
        told = told.with_columns((pl.col("opens") & ~same).alias("stays"), same.alias("same"))
        self.good = self.good.clear()
        self._decide(told.drop("opens", "content", "version", "other"), f"{key},arrived_at")

    def _decide(self, told: pl.DataFrame, key: str) -> None:
        rest = told.filter(~pl.col("stays"))
        other = rest.filter(~pl.col("same")).drop("stays", "same")
        self.duplicates += len(rest) - len(other)
        self._refuse(other, pl.concat_list(pl.lit(f"changed:{key}")))
        self.good = pl.concat([self.good, told.filter("stays").drop("stays", "same")])

    def quarantine(self) -> pl.DataFrame:
        """All that was refused, as rows of the table."""
        return pl.concat(self.refused).select(
            pl.concat_str(pl.lit(self.name), "source", "source_position", separator="\x1f").hash().alias("record_id"),
            pl.lit(self.name).alias("feed"),
            pl.lit(f"clean_{self.name}").alias("job"),
            "reasons",
            "record",
            *ORIGIN,
            pl.col("loaded_at").dt.date().alias("loaded_date"),
        )

    def counts(self, *flags: tuple[str, str]) -> dict[str, int]:
        """What became of the records; `flags`: what to count, and a column that is false where it is so."""
        refused = pl.concat(self.refused)
        codes = refused.select(pl.col("reasons").list.first().str.split(":").list.first()).to_series().value_counts()
        return {
            "rows_in": len(self.good) + self.duplicates + len(refused),
            "rows_out": len(self.good),
            "duplicates": self.duplicates,
            "quarantined": len(refused),
            **{f"quarantined.{code}": number for code, number in codes.iter_rows()},
            **{name: int((~self.good[column]).sum()) for name, column in flags},
        }


def is_in(column: str, known: Sequence[str] | pl.Series) -> pl.Expr:
    """Whether an id is null or one of those that are known."""
    return pl.col(column).is_null() | pl.col(column).is_in(pl.Series(known).unique().implode())
