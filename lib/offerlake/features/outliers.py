"""Amounts far beyond the usual: capped in what is summed, never in the table that says what was paid."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_BINS = 1000  # of the natural logarithm: a bin is 0.1 % wide
_NORMAL = 1.4826  # median absolute deviation to standard deviation where logarithms are normal
_LEAST_LINES = 100  # fewer say nothing of what is usual


def winsorised(lines: DataFrame, *, mads: float | None) -> DataFrame:
    """Caps the net amounts of order lines.

    Beyond the cap an amount counts as the cap: exp(median + mads × 1.4826 × MAD) of the logarithms of what was paid
    for a line (F. Hampel, The Influence Curve and Its Role in Robust Estimation, 1974). For a line it is that of all
    lines that count before the month from which the line counts, so that nothing that comes later moves it. Returns
    are capped likewise, by their size. Medians are of bins 0.1 % wide.

    Args:
        lines: since (from which day a line counts), quantity, net_amount (whole, see `clocks.whole_money`) and more.
        mads: None, or where fewer than 100 lines or only equal ones came before: nothing is capped.

    Returns:
        The lines with their net_amount capped, and `capped`: whether it was. The caps are broadcast.
    """
    if mads is None:
        return lines.withColumn("capped", F.lit(False))
    month = F.trunc("since", "month")
    joined = lines.withColumn("_month", month).join(F.broadcast(_caps(lines, mads)), on="_month", how="left")
    beyond = F.coalesce(F.abs("net_amount") > F.col("_cap"), F.lit(False))
    limited = (F.signum("net_amount") * F.col("_cap")).cast("bigint")
    return (
        joined.withColumn("capped", beyond)
        .withColumn("net_amount", F.when(beyond, limited).otherwise(F.col("net_amount")))
        .drop("_month", "_cap")
    )


def _caps(lines: DataFrame, mads: float) -> DataFrame:
    """_month and _cap, of months in which something was bought. One pass over the lines; all else is small."""
    paid = lines.where((F.col("quantity") > 0) & (F.col("net_amount") > 0))
    height = F.floor(F.ln("net_amount") * _BINS)
    by_month = paid.groupBy(F.trunc("since", "month").alias("month"), height.alias("bin")).agg(
        F.count(F.lit(1)).alias("lines")
    )
    months = by_month.select(F.col("month").alias("_month")).distinct()
    before = (
        by_month.join(F.broadcast(months), F.col("month") < F.col("_month"), how="inner")
        .groupBy("_month", "bin")
        .agg(F.sum("lines").alias("lines"))
    )
    middle = before.groupBy("_month").agg(
        F.percentile("bin", 0.5, F.col("lines")).alias("median"), F.sum("lines").alias("known")
    )
    spread = (
        before.join(F.broadcast(middle), on="_month", how="inner")
        .groupBy("_month", "median", "known")
        .agg(F.percentile(F.abs(F.col("bin") - F.col("median")), 0.5, F.col("lines")).alias("mad"))
    )
    cap = F.exp((F.col("median") + 1 + mads * _NORMAL * F.col("mad")) / _BINS)
    return spread.where((F.col("known") >= _LEAST_LINES) & (F.col("mad") > 0)).select("_month", cap.alias("_cap"))
