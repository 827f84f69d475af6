"""How well a score orders people by what a treatment changes: Qini, AUUC, uplift at k, with bootstrap intervals.

Nobody is seen both with and without the treatment, so each row gets a number whose expectation is the effect on it, the
doubly robust score (Robins, Rotnitzky and Zhao 1994; as in Athey and Wager 2021, equation 5)

    Γ = T·(Y − m₁)/e − (1 − T)·(Y − m₀)/(1 − e) + m₁ − m₀        e = P(T = 1)

with m the outcome expected with and without it: each row's own, or the means of the arms. With the right e it is
unbiased whatever m is. With rows by descending score,

    Q(φ)  = (1/n) Σ Γ over the top φ·n rows       what treating them brings, per person of all
    ate   = Q(1)                                   auuc = ∫ Q(φ) dφ        qini = ∫ (Q(φ) − φ·ate) dφ
    uplift at k = Q(k) / k                         mean effect on the top share k

Rows of the same score share their place: Q is a straight line through them, so their order does not matter. None of
these is normalised. Of two other definitions, which take the arms' counts instead of Γ and know no propensity:

    g = R₁ − R₀·N₁/N₀ at the end of each score's rows: R the sum of outcomes, N the rows of an arm down to there
    qini_radcliffe  ∫ (g − φ·g(1)) dφ / N₁: per treated person (Radcliffe 2007, without a normalisation)
    qini_sklift     the same over that of the order by the outcomes themselves: `qini_auc_score` of scikit-uplift
                    0.5, with negative effects; for outcomes of 0 and 1 only

The bootstrap draws clusters (users) by a Poisson weight of mean 1 each (Hanley and MacGibbon 2006), all samples in the
same pass over the rows; weights come from a hash of the cluster, so they do not depend on the partitioning. Without
clusters each row is one, by its place in the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.errors import DataError

Doubles = npt.NDArray[np.float64]
SHARES = (0.1, 0.2, 0.3)
"""Of the rows, for uplift at k."""
_CHUNK = 4_000_000  # weights at once: 32 MB, with what is made of them some 150
_CURVE = "share double, sample int, gain double, area double"
_DRAWS = 4  # of 16 bits from one hash


def judge(rows: DataFrame, *, samples: int, seed: int) -> dict[str, Any]:
    """Judges a score.

    The rows are sorted once, and kept; a partition is held in memory, 40 bytes a row, all rows of a score in one.

    Args:
        rows: score, outcome, treatment (double; 0 or 1); where they are known, propensity (of the arm that the
            row got, between 0 and 1), mu0 and mu1 (outcome expected without and with the treatment), cluster (string).
        samples: Bootstrap samples.
        seed: Of their draws.

    Returns:
        n, treated, clusters; ate, ate_se (robust to clusters), auuc, qini, uplift_at_10pct, … each with `_low` and
        `_high` (95 %); qini_radcliffe, qini_sklift (None: not defined).

    Raises:
        DataError: A value is out of its range, or an arm has no rows.
    """
    seen = _checked(rows)
    scored = _scored(rows, seen)
    parts = int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)
    ordered = scored.repartitionByRange(parts, F.desc("score")).sortWithinPartitions(F.desc("score")).cache()
    weights = _Weights(samples, seed)
    try:
        sums = _Sums.of(ordered.mapInArrow(_summing(weights), _Sums.DDL).collect())
        shared = rows.sparkSession.sparkContext.broadcast(sums)
        found = ordered.mapInArrow(_curving(weights, shared), _CURVE).collect()
        clusters, ate_se = _spread(ordered, n=int(sums.weight[:, 0].sum()))
    finally:
        ordered.unpersist()
    return {
        "n": int(sums.weight[:, 0].sum()),
        "treated": int(sums.counts[:, 0].sum()),
        "clusters": clusters,
        "ate_se": ate_se,
        **_intervals(sums, found, samples=samples),
        **_by_counts(sums, seen, area=math.fsum(row["area"] for row in found if row["share"] is None)),
    }


def _checked(rows: DataFrame) -> dict[str, Any]:
    """The arms' rows and means; also finds what cannot be judged."""

    def beyond(name: str) -> Column:
        return F.col(name).isNull() | F.isnan(name) | (F.abs(F.col(name)) == F.lit(float("inf")))

    arms = [F.col("treatment") == arm for arm in (0, 1)]
    wrong: dict[str, Column] = {
        "treatment": F.col("treatment").isNull() | ~F.col("treatment").isin(0, 1),
        **{name: beyond(name) for name in ("score", "outcome", "mu0", "mu1") if name in rows.columns},
    }
    if "propensity" in rows.columns:
        inside = (F.col("propensity") > 0) & (F.col("propensity") < 1)
        wrong["propensity"] = F.col("propensity").isNull() | ~inside
    row = rows.agg(
        *[F.count_if(there).alias(f"wrong_{name}") for name, there in wrong.items()],
        *[F.count_if(arm).alias(f"rows{number}") for number, arm in enumerate(arms)],
        *[F.avg(F.when(arm, F.col("outcome"))).alias(f"mean{number}") for number, arm in enumerate(arms)],
        *[
            F.count_if(arm & (F.col("outcome") == value)).alias(f"of{number}_{value}")
            for number, arm in enumerate(arms)
            for value in (0, 1)
        ],
    ).first()
    assert row is not None
    ranges = {"treatment": "0 and 1", "propensity": "above 0 and below 1: the probability of the arm that the row got"}
    for name in wrong:
        if row[f"wrong_{name}"]:
            raise DataError(
                f"{name}: {row[f'wrong_{name}']} values are out of range",
                fix=f"It takes {ranges.get(name, 'numbers')}.",
            )
    for number, arm in enumerate(("without", "with")):
        if not row[f"rows{number}"]:
            raise DataError(f"treatment: no row is {arm} it", fix="Give rows of both arms.")
    return row.asDict()


def _scored(rows: DataFrame, seen: dict[str, Any]) -> DataFrame:
    """score, gamma, treatment, outcome, key (bigint: a hash of the cluster)."""
    treated = F.col("treatment") == 1
    if "propensity" in rows.columns:
        chance = F.when(treated, F.col("propensity")).otherwise(1 - F.col("propensity"))
    else:
        chance = F.lit(seen["rows1"] / (seen["rows0"] + seen["rows1"]))
    without, having = (
        F.col(name) if name in rows.columns else F.lit(seen[mean])
        for name, mean in (("mu0", "mean0"), ("mu1", "mean1"))
    )
    residual = (
        F.when(treated, (F.col("outcome") - having) / chance)
        .otherwise((without - F.col("outcome")) / (1 - chance))
        .alias("residual")
    )
    cluster = F.col("cluster") if "cluster" in rows.columns else F.monotonically_increasing_id()
    return rows.select(
        (F.col("score") + F.lit(0.0)).alias("score"),  # −0 is 0
        (residual + having - without).alias("gamma"),
        F.col("treatment").cast("int").alias("treatment"),
        "outcome",
        F.xxhash64(cluster).alias("key"),
    )


@dataclass(frozen=True)
class _Weights:
    """The rows' weights in each sample; in the first, number 0, all are 1."""

    samples: int
    seed: int

    def of(self, keys: npt.NDArray[np.int64]) -> Doubles:
        """Samples + 1 × rows."""
        drawn = np.empty((self.samples + 1, len(keys)))
        drawn[0] = 1
        table = _poisson_table()
        base = keys.view(np.uint64)
        for begin in range(0, self.samples, _DRAWS):
            bits = _mixed(base + np.uint64(_step(self.seed, begin)))
            for place in range(min(_DRAWS, self.samples - begin)):
                drawn[1 + begin + place] = table[(bits >> np.uint64(16 * place)) & np.uint64(0xFFFF)]
        return drawn


def _step(seed: int, sample: int) -> int:
    return ((seed % 2**32) * 0x9E3779B97F4A7C15 + (sample + 1) * 0xD1B54A32D192ED03) % 2**64


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    done: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return done


def _poisson_table() -> npt.NDArray[np.uint8]:
    """The Poisson quantiles, mean 1, of 2¹⁶ equal steps of probability."""
    chances = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
    return np.searchsorted(chances, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.uint8)


@dataclass(frozen=True)
class _Sums:
    """What each partition's rows come to, the partitions in order of the score; partitions × samples + 1.

    Attributes:
        number: Of the partition.
        weight: Σ w.
        gain: Σ w·Γ.
        area: ∫ of the running Σ w·Γ over the running Σ w, from 0 at the partition's first row on.
        counts: Partitions × 4: rows and outcomes of the treated, of the others.
    """

    number: list[int]
    weight: Doubles
    gain: Doubles
    area: Doubles
    counts: Doubles

    DDL = "number int, weight array<double>, gain array<double>, area array<double>, counts array<double>"

    @classmethod
    def of(cls, rows: Sequence[Any]) -> _Sums:
        rows = sorted(rows, key=lambda row: row["number"])
        columns = (np.array([row[name] for row in rows]) for name in ("weight", "gain", "area", "counts"))
        return cls([row["number"] for row in rows], *columns)

    def before(self, number: int) -> tuple[Doubles, Doubles, Doubles]:
        """Weight and gain by sample, and counts, of the partitions before one."""
        place = self.number.index(number)
        return self.weight[:place].sum(axis=0), self.gain[:place].sum(axis=0), self.counts[:place].sum(axis=0)


def _groups(partition: pa.Table, weights: _Weights) -> Iterator[tuple[Doubles, Doubles]]:
    """Weight and gain of each score's rows, samples + 1 × scores, some scores at a time, the highest first.

    The rows of one score may be so many that they come in several pieces: these are added before they are given.
    """
    score = partition["score"].to_numpy()
    gamma, keys = partition["gamma"].to_numpy(), partition["key"].to_numpy()
    starts = np.flatnonzero(np.diff(score, prepend=np.inf))
    step = max(1, _CHUNK // (weights.samples + 1))
    carried: tuple[float, Doubles, Doubles] | None = None  # the last score so far, which the next piece may go on with
    for begin in range(0, len(score), step):
        end = min(begin + step, len(score))
        first, last = np.searchsorted(starts, [begin + 1, end])
        inside = np.concatenate([[0], starts[first:last] - begin])
        drawn = weights.of(keys[begin:end])
        weight = np.add.reduceat(drawn, inside, axis=1)
        gain = np.add.reduceat(drawn * gamma[begin:end], inside, axis=1)
        if carried is not None and carried[0] == score[begin]:
            weight[:, :1] += carried[1]
            gain[:, :1] += carried[2]
        elif carried is not None:
            yield carried[1:]
        yield weight[:, :-1], gain[:, :-1]
        carried = score[end - 1], weight[:, -1:], gain[:, -1:]
    if carried is not None:
        yield carried[1:]


def _summing(weights: _Weights) -> Any:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = [batch for batch in batches if batch.num_rows]
        if not held:
            return
        partition = pa.Table.from_batches(held).combine_chunks()
        total = np.zeros((3, weights.samples + 1))
        for weight, gain in _groups(partition, weights):
            before = total[1][:, None] + np.cumsum(gain, axis=1) - gain
            total[2] += ((before + gain / 2) * weight).sum(axis=1)
            total[0] += weight.sum(axis=1)
            total[1] += gain.sum(axis=1)
        treated, outcome = partition["treatment"].to_numpy() == 1, partition["outcome"].to_numpy()
        counts = [treated.sum(), outcome[treated].sum(), (~treated).sum(), outcome[~treated].sum()]
        context = TaskContext.get()
        assert context is not None
        lists = [pa.array([[float(x) for x in values]]) for values in (*total, counts)]
        number = pa.array([context.partitionId()], pa.int32())
        yield pa.RecordBatch.from_arrays([number, *lists], names=["number", "weight", "gain", "area", "counts"])

    return run


def _curving(weights: _Weights, shared: Any) -> Any:
    """Q at each of SHARES in each sample, from the partition that it lies in; and the area below g (share null)."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = [batch for batch in batches if batch.num_rows]
        if not held:
            return
        partition = pa.Table.from_batches(held).combine_chunks()
        context = TaskContext.get()
        assert context is not None
        sums: _Sums = shared.value
        at, gained, counts = sums.before(context.partitionId())
        wanted = np.array(SHARES)[:, None] * sums.weight.sum(axis=0)
        rows: list[tuple[float | None, int, float, float]] = [(None, 0, 0.0, _area(partition, counts))]
        for weight, gain in _groups(partition, weights):
            x = np.column_stack([at, at[:, None] + np.cumsum(weight, axis=1)])
            y = np.column_stack([gained, gained[:, None] + np.cumsum(gain, axis=1)])
            for place, share in enumerate(SHARES):
                for sample in np.flatnonzero((wanted[place] > x[:, 0]) & (wanted[place] <= x[:, -1])):
                    q = np.interp(wanted[place, sample], x[sample], y[sample]) / sums.weight[:, sample].sum()
                    rows.append((share, int(sample), float(q), 0.0))
            at, gained = x[:, -1], y[:, -1]
        columns = zip(*rows, strict=True)
        types = (pa.float64(), pa.int32(), pa.float64(), pa.float64())
        yield pa.RecordBatch.from_arrays(
            [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)],
            names=["share", "sample", "gain", "area"],
        )

    return run


def _area(partition: pa.Table, before: Doubles) -> float:
    """∫ g over the rows of a partition, from what the arms come to before it."""
    score, outcome = partition["score"].to_numpy(), partition["outcome"].to_numpy()
    treated = partition["treatment"].to_numpy() == 1
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    running = [np.cumsum(values)[ends] for values in (treated, outcome * treated, ~treated, outcome * ~treated)]
    x = np.concatenate([[0], ends + 1])
    g = np.concatenate([[_g(before)], _g(np.array(running) + before[:, None])])
    return float((np.diff(x) * (g[1:] + g[:-1]) / 2).sum())


def _g(counts: Doubles) -> Any:
    """The g of rows and outcomes: of the treated, and of the others (whose part is 0 where there are none)."""
    treated, responded, others, others_responded = counts
    ratio = np.divide(treated, others, out=np.zeros_like(others, dtype=np.float64), where=others > 0)
    return responded - others_responded * ratio


def _spread(ordered: DataFrame, *, n: int) -> tuple[int, float | None]:
    """Clusters, and the standard error of the mean Γ by them."""
    sums = ordered.groupBy("key").agg(F.sum("gamma").alias("total"), F.count(F.lit(1)).alias("rows"))
    # Σ (s − c·mean)² = Σ s² − 2·mean·Σ s·c + mean²·Σ c²: one pass.
    row = sums.agg(
        F.count(F.lit(1)).alias("clusters"),
        F.sum("total").alias("total"),
        F.sum(F.col("total") * F.col("total")).alias("squares"),
        F.sum(F.col("total") * F.col("rows")).alias("cross"),
        F.sum(F.col("rows") * F.col("rows")).alias("sizes"),
    ).first()
    assert row is not None
    number, mean = row["clusters"], row["total"] / n
    if number < 2:
        return number, None
    squares = row["squares"] - 2 * mean * row["cross"] + mean**2 * row["sizes"]
    return number, math.sqrt(max(squares, 0.0) * number / (number - 1)) / n


def _intervals(sums: _Sums, found: Sequence[Any], *, samples: int) -> dict[str, float | None]:
    """ate, auuc, qini and uplift at k with their 95 % intervals."""
    weight, gain = sums.weight.sum(axis=0), sums.gain.sum(axis=0)
    before = np.cumsum(sums.gain, axis=0) - sums.gain
    area = (sums.area + before * sums.weight).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ate, auuc = gain / weight, area / weight**2
    values = {"ate": ate, "auuc": auuc, "qini": auuc - ate / 2}
    for share in SHARES:
        values[f"uplift_at_{share:.0%}".replace("%", "pct")] = np.full(samples + 1, np.nan)
    for row in found:
        if row["share"] is not None:
            name = f"uplift_at_{row['share']:.0%}".replace("%", "pct")
            values[name][row["sample"]] = row["gain"] / row["share"]
    told: dict[str, float | None] = {}
    for name, value in values.items():
        drawn = value[1:][np.isfinite(value[1:])]
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (None, None)
        told |= {name: float(value[0]), f"{name}_low": low and float(low), f"{name}_high": high and float(high)}
    return told


def _by_counts(sums: _Sums, seen: dict[str, Any], *, area: float) -> dict[str, float | None]:
    """The definitions that count."""
    counts = sums.counts.sum(axis=0)
    n = counts[0] + counts[2]
    above = area - n * float(_g(counts)) / 2
    told: dict[str, float | None] = {"qini_radcliffe": above / (n * counts[0]), "qini_sklift": None}
    cells = {(arm, value): seen[f"of{arm}_{value}"] for arm in (0, 1) for value in (0, 1)}
    if sum(cells.values()) != n:
        return told
    # Its perfect order: those who responded to the treatment, then who did not respond, then who did without it.
    order = [[(1, 1)], [(1, 0), (0, 0)], [(0, 1)]]
    running, x, best, last = np.zeros(4), 0.0, 0.0, 0.0
    for members in order:
        for arm, value in members:
            at = 0 if arm else 2
            running[at] += cells[arm, value]
            running[at + 1] += cells[arm, value] * value
        rows, g = running[0] + running[2], float(_g(running))
        best, x, last = best + (rows - x) * (g + last) / 2, rows, g
    perfect = best - n * last / 2
    told["qini_sklift"] = above / perfect if perfect else None
    return told
