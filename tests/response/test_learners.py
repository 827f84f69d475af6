"""Learners of effects: against what NumPy makes of the same sums, on data whose effects are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.regression import DecisionTreeRegressor, LinearRegression
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.errors import DataError
from offerlake.response import learners
from offerlake.response.learners import Arms, Bases, EffectModel, Learner, fit_effects

Doubles = npt.NDArray[np.float64]
ROWS, SHARES = 3000, (0.5, 0.3, 0.2)


def line_of() -> LinearRegression:
    """A straight line inside."""
    return LinearRegression(solver="normal", regParam=0.0, tol=1e-12)


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """Two numbers a row, arms with chances of their own, and effects 1 + x₀ and 0.5 − x₁."""
    draws = np.random.default_rng(7)
    x = draws.standard_normal((ROWS, 2))
    arm = draws.choice(3, ROWS, p=SHARES)
    effects = np.column_stack([1 + x[:, 0], 0.5 - x[:, 1]])
    given = np.column_stack([np.zeros(ROWS), effects])[np.arange(ROWS), arm]
    y = 2 + x[:, 0] - x[:, 1] + given + 0.3 * draws.standard_normal(ROWS)
    return {"x": x, "arm": arm, "y": y, "fold": np.arange(ROWS) % 2, "effects": effects}


def frame(spark: SparkSession, data: dict[str, Any], **more: Any) -> DataFrame:
    """As learners take it."""
    rows = list(
        zip(
            data["x"].tolist(), data["arm"].tolist(), data["y"].tolist(), data["fold"].tolist(), *more.values(),
            strict=True,
        )
    )  # fmt: skip
    kinds = "".join(f", {name} array<double>" for name in more)
    return spark.createDataFrame(rows, f"x array<double>, arm int, y double, fold int{kinds}").repartition(2).cache()


@pytest.fixture(scope="module")
def bases(spark: SparkSession) -> Bases:
    """Straight lines."""
    return Bases(line_of(), line_of())


@pytest.fixture(scope="module")
def rows(spark: SparkSession, data: dict[str, Any], bases: Bases) -> DataFrame:
    """With nuisances."""
    arms = Arms(2)
    checked = learners.checked(frame(spark, data, e=[list(SHARES)] * ROWS), arms, folds=2)
    return learners.with_means(checked, bases, arms, folds=2).cache()


def predicted(model: EffectModel, frame: DataFrame) -> Doubles:
    """Effects in the order of the first number."""
    return np.array([row[0] for row in model.predict(frame).orderBy(F.col("x")[0]).select("tau").collect()])


def line(x: Doubles, y: Doubles, weight: Doubles | None = None) -> Doubles:
    """Coefficients of least squares, the constant first."""
    columns = np.column_stack([np.ones(len(x)), x])
    root = np.sqrt(np.ones(len(x)) if weight is None else weight)
    return np.linalg.lstsq(columns * root[:, None], y * root, rcond=None)[0]


def at(x: Doubles, coefficients: Doubles) -> Doubles:
    return coefficients[0] + x @ coefficients[1:]


def by_hand(data: dict[str, Any]) -> dict[str, Doubles]:
    """What each learner gives with straight lines inside, by NumPy."""
    x, arm, y, of_fold, e = data["x"], data["arm"], data["y"], data["fold"], np.array(SHARES)
    mu = np.zeros((ROWS, 3))
    for number in (0, 1):
        for k in range(3):
            teaching = (of_fold != number) & (arm == k)
            mu[of_fold == number, k] = at(x[of_fold == number], line(x[teaching], y[teaching]))
    columns = np.column_stack([x, arm == 1, arm == 2])
    s = line(columns, y)
    own = [line(x[arm == k], y[arm == k]) for k in range(3)]
    found = {
        "s": np.tile(s[3:], (ROWS, 1)),
        "t": np.column_stack([at(x, own[k]) - at(x, own[0]) for k in (1, 2)]),
    }
    of_x, of_dr = [], []
    for k in (1, 2):
        on = at(x, line(x[arm == k], (y - mu[:, 0])[arm == k]))
        off = at(x, line(x[arm == 0], (mu[:, k] - y)[arm == 0]))
        g = e[k] / (e[k] + e[0])
        of_x.append(g * off + (1 - g) * on)
        gamma = mu[:, k] - mu[:, 0] + (arm == k) * (y - mu[:, k]) / e[k] - (arm == 0) * (y - mu[:, 0]) / e[0]
        of_dr.append(at(x, line(x, gamma)))
    surprise = np.column_stack([(arm == k) - e[k] for k in (1, 2)])
    terms = np.column_stack([np.ones(ROWS), x])
    joint = np.hstack([terms * surprise[:, [n]] for n in (0, 1)])
    beta = np.linalg.lstsq(joint, y - mu @ e, rcond=None)[0].reshape(2, 3)
    return found | {"x": np.column_stack(of_x), "dr": np.column_stack(of_dr), "r": terms @ beta.T}


@pytest.mark.parametrize("learner", learners.LEARNERS)
def test_with_lines_inside_each_learner_gives_what_numpy_does(
    learner: Learner, rows: DataFrame, data: dict[str, Any], bases: Bases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learners, "_SWEEPS", 8)  # each leaves a tenth of what r lacks: e₁e₂ / ((1 − e₁)(1 − e₂))
    order = np.argsort(data["x"][:, 0])

    found = predicted(fit_effects(rows, learner, bases, Arms(2)), rows.select("x"))

    assert np.allclose(found, by_hand(data)[learner][order], atol=1e-6)
    if learner != "s":
        assert np.abs(found - data["effects"][order]).max() < 0.2


def test_arms_that_share_a_model_are_told_apart_by_their_traits(rows: DataFrame, bases: Bases) -> None:
    depth = (0.0, 0.1, 0.3)
    arms = Arms(2, tuple((d,) for d in depth))
    mu = rows.select("x", "mu", "arm", "y").orderBy(F.col("x")[0]).toPandas()
    x, arm, e = np.stack(mu["x"]), mu["arm"].to_numpy(), np.array(SHARES)
    means, y = np.stack(mu["mu"]), mu["y"].to_numpy()
    gammas, columns = [], []
    for k in (1, 2):
        m = means[:, k] - means[:, 0]
        gammas.append(m + (arm == k) * (y - means[:, k]) / e[k] - (arm == 0) * (y - means[:, 0]) / e[0])
        columns.append(np.column_stack([x, np.full(ROWS, depth[k])]))
    beta = line(np.vstack(columns), np.concatenate(gammas))

    found = predicted(fit_effects(rows, "dr", bases, arms), rows.select("x"))

    assert np.allclose(found, np.column_stack([at(part, beta) for part in columns]), atol=1e-6)
    for learner in ("s", "t", "x"):
        effects = predicted(fit_effects(rows, learner, bases, arms), rows.select("x"))
        assert effects.shape == (ROWS, 2)
        assert np.isfinite(effects).all()
    with pytest.raises(DataError, match="learner r"):
        fit_effects(rows, "r", bases, arms)


def test_scores_are_right_on_average_where_the_means_are_wrong(spark: SparkSession, data: dict[str, Any]) -> None:
    wrong = frame(spark, data, e=[list(SHARES)] * ROWS, mu=[[0.0, 3.0, -1.0]] * ROWS)

    means = wrong.agg(*[F.avg(learners.scores(k)) for k in (1, 2)]).first()

    assert means is not None
    # Four standard errors of a mean of 3,000 scores whose spread is about 10.
    assert np.abs(np.array(means) - data["effects"].mean(axis=0)).max() < 0.75


def test_a_model_is_saved_and_scores_the_same(spark: SparkSession, rows: DataFrame, tmp_path: Path) -> None:
    tree = DecisionTreeRegressor(maxDepth=3, seed=1)
    model = fit_effects(rows, "x", Bases(tree, tree), Arms(2))
    folder = tmp_path.as_uri()

    files.write_bytes(spark, f"{folder}/effects.json", model.save(folder))

    again = EffectModel.load(spark, folder)
    assert again.shares == pytest.approx(SHARES)
    assert (predicted(again, rows.select("x")) == predicted(model, rows.select("x"))).all()
    with_chances = rows.select("x", F.array(F.lit(0.1), F.lit(0.8), F.lit(0.1)).alias("e"))
    assert not np.allclose(predicted(again, with_chances), predicted(again, rows.select("x")))


def test_of_two_models_the_nearer_one_has_the_smaller_risk(rows: DataFrame) -> None:
    near = rows.withColumn("tau", F.array(1 + F.col("x")[0], 0.5 - F.col("x")[1]))
    far = rows.withColumn("tau", F.array(F.lit(1.0), F.lit(0.5)))

    assert learners.risk(near) < learners.risk(far)


def test_outcomes_of_0_and_1_take_a_classifier(spark: SparkSession, data: dict[str, Any]) -> None:
    bought = {**data, "y": (data["y"] > 2).astype(float)}
    classifier = LogisticRegression(regParam=1e-3)
    arms = Arms(2)
    given = learners.with_means(
        learners.with_shares(frame(spark, bought), arms), Bases(classifier, line_of()), arms, folds=2
    ).cache()

    means = given.select(F.explode("mu").alias("m")).agg(F.min("m"), F.max("m")).first()
    effects = predicted(fit_effects(given, "dr", Bases(classifier, line_of()), arms), given.select("x"))

    assert means is not None
    assert 0 <= means[0] < 0.2
    assert 0.8 < means[1] <= 1
    # Of probabilities: the difference of shares, to four standard errors.
    shares = [bought["y"][bought["arm"] == k].mean() for k in range(3)]
    assert np.abs(effects.mean(axis=0) - [shares[1] - shares[0], shares[2] - shares[0]]).max() < 0.1


def test_chances_are_estimated_by_who_got_what(spark: SparkSession) -> None:
    draws = np.random.default_rng(3)
    x = draws.standard_normal((ROWS, 1))
    chance = 1 / (1 + np.exp(-2 * x[:, 0]))
    arm = (draws.uniform(size=ROWS) < chance).astype(int)
    data = {"x": x, "arm": arm, "y": x[:, 0] + arm, "fold": np.arange(ROWS) % 2}

    rows = frame(spark, data)
    chances = learners.Chances.of(rows, LogisticRegression(), folds=2, clip=0.05)
    found = chances.crossed(rows)

    of_others = np.stack(chances.add(rows.select("x")).orderBy(F.col("x")[0]).toPandas()["e"])
    told = found.orderBy(F.col("x")[0]).select("e").toPandas()["e"]
    e = np.stack(told)
    assert np.abs(e.sum(axis=1) - 1).max() < 1e-12
    assert e.min() > 0.047
    assert np.abs(e[:, 1] - np.clip(np.sort(chance), 0.05, 0.95)).max() < 0.1
    assert np.abs(of_others - e).max() < 0.05
    assert np.abs(of_others.sum(axis=1) - 1).max() < 1e-12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": float("nan")}, "y: 1 values"),
        ({"x": [1.0, float("inf")]}, "x: 1 rows"),
        ({"x": [1.0, None]}, "x: 1 rows"),
        ({"e": [0.0, 0.5, 0.5]}, "e: 1 rows"),
        ({"e": [None, 0.5, 0.5]}, "e: 1 rows"),
        ({"arm": 3}, "arm: 1 values"),
        ({"fold": 2}, "fold: from 0 to 2"),
    ],
)
def test_what_cannot_teach_is_refused(spark: SparkSession, change: dict[str, Any], message: str) -> None:
    good = [{"x": [0.0, float(n)], "arm": n % 3, "y": 1.0, "fold": n // 6, "e": list(SHARES)} for n in range(12)]
    kinds = "x array<double>, arm int, y double, fold int, e array<double>"
    learners.checked(spark.createDataFrame(good, kinds), Arms(2), folds=2)
    bad = spark.createDataFrame([*good[1:], {**good[0], **change}], kinds)

    with pytest.raises(DataError, match=message):
        learners.checked(bad, Arms(2), folds=2)


def test_an_arm_without_rows_outside_a_fold_is_refused(spark: SparkSession) -> None:
    rows = [{"x": [0.0], "arm": n % 2 if n < 6 else 0, "y": 1.0, "fold": n // 6} for n in range(12)]

    with pytest.raises(DataError, match="arm 1: no rows outside fold 0"):
        learners.checked(spark.createDataFrame(rows, "x array<double>, arm int, y double, fold int"), Arms(1), folds=2)
