"""Training of the response model: split by time, choice of the engine, cross-fitting by user, calibration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import cast

from pyspark import StorageLevel
from pyspark.ml import Model, PipelineModel
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from offerlake.config import ResponseSettings
from offerlake.errors import DataError
from offerlake.parallel import side_by_side
from offerlake.randomness import fold, uniform
from offerlake.response.calibration import Bins, Calibration, binned, fit, pooled
from offerlake.response.features import CATEGORIES, NUMBERS, VECTOR, Columns, encode, encoder, learnable
from offerlake.response.judge import Judged, judged
from offerlake.response.models import BASELINE, LABEL, WEIGHT, Engine, ResponseModel, chance, estimator
from offerlake.windows import TimeSplit, midnight, part_of, split_by_time

_KEYS = ("exposure_id", "user_id", "fold", "half", "part", "fits", "group", LABEL)


@dataclass(frozen=True)
class Trained:
    """A response model and what is to be said of it.

    Attributes:
        model: What validation chose, cross-fitted.
        split: Where validation and test begin.
        validation: By engine, on the validation days, trained on the days before.
        test: The cross-fitted model on the test days; None without `response.test_from`.
        rows: Examples by use: all, fit (cross-fitting), train, validation, test, no_history and straddling (left out).
        columns: What the models see.
    """

    model: ResponseModel
    split: TimeSplit
    validation: dict[Engine, Judged]
    test: Judged | None
    rows: dict[str, int]
    columns: Columns


@dataclass(frozen=True)
class Usable:
    """Examples that may teach or judge, and what was left out.

    Attributes:
        frame: Rows of days before which somebody had bought or visited, without those that straddle the test's begin.
        split: Of their days.
        rows: Examples in all (`all`), and left out: `no_history`, `straddling`.
    """

    frame: DataFrame
    split: TimeSplit
    rows: dict[str, int]


@dataclass(frozen=True)
class _Rows:
    """Encoded rows."""

    frame: DataFrame
    encoding: PipelineModel
    columns: Columns


@dataclass(frozen=True)
class _Size:
    """How many rows, and how many of them have label 1."""

    rows: float
    ones: float


def labels_of(examples: DataFrame, *, label: str) -> tuple[str, ...]:
    """The labels that need a model: the setting's, and `responded` where effects on it can be learnt.

    They can where rows with and without an offer have a propensity strictly between 0 and 1.
    """
    randomised = examples.where((F.col("propensity") > 0) & (F.col("propensity") < 1))
    arms = {row[0] for row in randomised.select("treatment").distinct().collect()}
    return tuple(dict.fromkeys((label, *(["responded"] if arms == {0, 1} else []))))


def usable(examples: DataFrame, settings: ResponseSettings) -> Usable:
    """Leaves out what may neither teach nor judge, and splits the rest by time: the same for all models of a label.

    Raises:
        DataError: No rows, or one day only.
    """
    known, total, no_history = _with_history(examples)
    dated = known if settings.test_from is None else known.where(_fits(settings) | _tests(settings))
    straddling = 0 if settings.test_from is None else known.where(~(_fits(settings) | _tests(settings))).count()
    days = [row[0] for row in dated.select("shown_date").distinct().collect()]
    split = split_by_time(days, validation_share=settings.validation_share, test_from=settings.test_from)
    return Usable(dated, split, {"all": total, "no_history": no_history, "straddling": straddling})


def train_response(examples: DataFrame, *, settings: ResponseSettings, label: str, seed: int) -> Trained:
    """Trains P(label | user, offer).

    Boosting and the baseline learn from the earlier days and are judged on the later ones by log loss; the better one
    is then trained anew for each fold of users, on all days before the test. Its calibration is learnt on the later
    days, for a fold from the users of the other folds. Days before which nobody had bought or visited are left out.

    Args:
        examples: The table `examples`.
        settings: Section `response`.
        label: `responded` or `redeemed`.
        seed: `run.seed`.

    Raises:
        DataError: No rows, one day only, one class only, or a fold without both classes.
    """
    given = usable(examples, settings)
    keyed = _keyed(given.frame, settings=settings, split=given.split, label=label, seed=seed)
    counted = _counted(keyed, folds=settings.folds, label=label)
    with _encoded(keyed) as rows:
        candidates: tuple[Engine, ...] = (settings.engine, BASELINE)

        def validated(engine: Engine) -> Judged:
            return _validated(rows, engine, settings=settings, seed=seed, size=counted["train"])

        validation = dict(zip(candidates, side_by_side(validated, candidates), strict=True))
        best = min(candidates, key=lambda engine: validation[engine].accuracy.log_loss or 0.0)
        model = _cross_fitted(rows, best, settings=settings, label=label, seed=seed, sizes=counted)
        test = None if settings.test_from is None else _tested(rows, model, seed=seed)
    sizes = {name: int(counted[name].rows) for name in ("fit", "train", "validation", "test")}
    return Trained(
        model=model,
        split=given.split,
        validation=validation,
        test=test,
        rows=given.rows | sizes,
        columns=rows.columns,
    )


def _fits(settings: ResponseSettings) -> Column:
    """True for rows that may teach: their label was there before the test began."""
    return F.lit(True) if settings.test_from is None else F.col("label_end") <= F.lit(midnight(settings.test_from))


def _tests(settings: ResponseSettings) -> Column:
    return F.lit(False) if settings.test_from is None else F.col("shown_date") >= F.lit(settings.test_from)


def _with_history(examples: DataFrame) -> tuple[DataFrame, int, int]:
    """Leaves out days as of which nobody had ever ordered or visited; with the number of all rows and those that go."""
    seen = F.greatest(F.max("orders_364d"), F.max("sessions_364d"))
    days = examples.groupBy("shown_date").agg(seen.alias("seen"), F.count(F.lit(1)).alias("rows")).collect()
    empty = [row["shown_date"] for row in days if not row["seen"]]
    gone = sum(row["rows"] for row in days if not row["seen"])
    kept = examples.where(~F.col("shown_date").isin(empty)) if empty else examples
    return kept, sum(row["rows"] for row in days), gone


def _keyed(examples: DataFrame, *, settings: ResponseSettings, split: TimeSplit, label: str, seed: int) -> DataFrame:
    user = F.col("user_id")
    keys = {
        "fold": fold(seed, "fold", settings.folds, user),
        "half": fold(seed, "calibration", 2, user),
        "part": part_of(split, shown=F.col("shown_date"), label_end=F.col("label_end")),
        "fits": _fits(settings),
        "group": F.when(F.col("treatment") == 1, "offered").otherwise("nothing"),
        LABEL: F.col(label).cast("double"),
    }
    return examples.select("exposure_id", "user_id", *[keys[name].alias(name) for name in keys], *NUMBERS, *CATEGORIES)


def _counted(keyed: DataFrame, *, folds: int, label: str) -> dict[str, _Size]:
    """Sizes by part, of what fits (`fit`), and of it without each fold's users (`without <fold>`)."""
    found = (
        keyed.groupBy("part", "fits", "fold").agg(F.count(F.lit(1)).alias("n"), F.sum(LABEL).alias("ones")).collect()
    )

    def size(rows: list[Row]) -> _Size:
        return _Size(float(sum(row["n"] for row in rows)), float(sum(row["ones"] for row in rows)))

    fitting = [row for row in found if row["fits"]]
    sizes = {part: size([row for row in found if row["part"] == part]) for part in ("train", "validation", "test")}
    sizes |= {"fit": size(fitting)}
    sizes |= {f"without {number}": size([row for row in fitting if row["fold"] != number]) for number in range(folds)}
    for part in ("train", "validation"):
        rows, ones = sizes[part].rows, sizes[part].ones
        if ones in (0.0, rows):
            raise DataError(
                f"examples: label {label} is {'never' if ones == 0 else 'always'} 1 in the {rows:.0f} rows of {part}",
                fix="Both outcomes are needed; give more days, or another response.label.",
            )
    for number in range(folds):
        rows, ones = sizes[f"without {number}"].rows, sizes[f"without {number}"].ones
        if ones in (0.0, rows):
            raise DataError(
                f"examples: without the users of fold {number}, {ones:.0f} of {rows:.0f} rows have label 1",
                fix="Set response.folds lower, or give more users.",
            )
    return sizes


@contextmanager
def _encoded(keyed: DataFrame) -> Iterator[_Rows]:
    columns = learnable(keyed.where(F.col("part") == "train"))
    encoding = encoder(columns)
    narrow = encode(keyed, encoding).select(*_KEYS, VECTOR)
    # Partitions and their order depend on the keys only, so that sums of doubles are the same in every run.
    ordered = narrow.repartition(keyed.sparkSession.sparkContext.defaultParallelism, "exposure_id")
    frame = ordered.sortWithinPartitions("exposure_id").persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield _Rows(frame=frame, encoding=encoding, columns=columns)
    finally:
        frame.unpersist()


def _fitted(teaching: DataFrame, engine: Engine, *, settings: ResponseSettings, seed: int, size: _Size) -> Model:
    """One classifier; boosting learns from all rows of the rarer label and a weighted draw of the others."""
    share = 1.0
    if engine != BASELINE:
        share = min(1.0, settings.negatives * size.ones / (size.rows - size.ones))
    drawn = (
        F.lit(True)
        if share == 1.0
        else (F.col(LABEL) == 1) | (uniform(seed, "negatives", F.col("exposure_id")) < F.lit(share))
    )
    weight = F.when(F.col(LABEL) == 1, F.lit(1.0)).otherwise(F.lit(1.0 / share))
    frame = teaching.where(drawn).withColumn(WEIGHT, weight)
    return cast("Model", estimator(engine, settings, rows=size.rows, seed=seed).fit(frame))


def _validated(rows: _Rows, engine: Engine, *, settings: ResponseSettings, seed: int, size: _Size) -> Judged:
    """Trained on the earlier days; calibrated on one half of the later days' users, judged on the other, both ways."""
    model = _fitted(rows.frame.where(F.col("part") == "train"), engine, settings=settings, seed=seed, size=size)
    later = chance(model, rows.frame.where(F.col("part") == "validation"), column="raw")
    halves = binned(later, probability="raw", label=LABEL, by="half")
    value = F.lit(None).cast("double")
    for number in halves:
        others = pooled([bins for other, bins in halves.items() if other != number])
        calibrated = fit(others, method=settings.calibration).column(F.col("raw"))
        value = F.when(F.col("half") == number, calibrated).otherwise(value)
    return judged(later.withColumn("p", value), seed=seed)


def _cross_fitted(
    rows: _Rows, engine: Engine, *, settings: ResponseSettings, label: str, seed: int, sizes: dict[str, _Size]
) -> ResponseModel:
    def one(number: int) -> Model:
        teaching = rows.frame.where(F.col("fits") & (F.col("fold") != number))
        return _fitted(teaching, engine, settings=settings, seed=seed, size=sizes[f"without {number}"])

    fitted = side_by_side(one, range(settings.folds))
    later = rows.frame.where((F.col("part") == "validation") & F.col("fits"))
    parts = []
    for number, model in enumerate(fitted):
        own = chance(model, later.where(F.col("fold") == number), column="raw")
        parts.append(own.withColumn("slice", F.concat_ws("/", F.col("group"), F.col("fold"))))
    counted = binned(reduce(DataFrame.unionByName, parts), probability="raw", label=LABEL, by="slice")

    def calibrations(group: str) -> tuple[Calibration, ...]:
        bins: dict[int, Bins] = {k: counted[f"{group}/{k}"] for k in range(settings.folds) if f"{group}/{k}" in counted}
        if not bins:
            return ()
        return tuple(
            fit(pooled([part for other, part in bins.items() if other != k]), method=settings.calibration)
            for k in range(settings.folds)
        )

    offered, nothing = calibrations("offered"), calibrations("nothing")
    return ResponseModel(
        label=label,
        engine=engine,
        seed=seed,
        encoding=rows.encoding,
        models=tuple(PipelineModel([model]) for model in fitted),
        offered=offered or nothing,
        nothing=nothing,
    )


def _tested(rows: _Rows, model: ResponseModel, *, seed: int) -> Judged:
    testing = rows.frame.where(F.col("part") == "test")
    parts = []
    for number, classifier in enumerate(model.models):
        own = chance(classifier, testing.where(F.col("fold") == number), column="raw")
        offered = model.offered[number].column(F.col("raw"))
        of_none = (model.nothing or model.offered)[number].column(F.col("raw"))
        parts.append(own.withColumn("p", F.when(F.col("group") == "offered", offered).otherwise(of_none)))
    return judged(reduce(DataFrame.unionByName, parts), seed=seed)
