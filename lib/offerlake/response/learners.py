"""What offers change, with any Spark ML model inside: S-, T-, X-, R- and DR-learners of many arms against nothing.

Arm 0 is nothing, arms 1 to K are offers. With x what is known of a row, A its arm, Y its outcome,
e_k(x) = P(A = k | x), μ_k(x) = E[Y | x, A = k], m = Σ e_k μ_k, and the effects τ_k = μ_k − μ_0:

    s    one μ(x, arm); τ_k is the difference of its predictions          Künzel, Sekhon, Bickel and Yu 2019
    t    a μ for nothing and one for each offer; likewise                 the same
    x    Y − μ_0 is learnt on rows of k, μ_k − Y on rows of nothing;      the same, equations 8 to 10
         τ_k = g·(the second) + (1 − g)·(the first), g = e_k / (e_k + e_0)
    r    Σ (Y − m − Σ_k τ_k(x)·(1{A=k} − e_k))² is least, jointly over    Nie and Wager 2021, equation 4
         the arms: one after the other, given the others, some times over
    dr   the doubly robust scores of the effects are learnt               Kennedy 2023, algorithm 1
         Γ_k = μ_k − μ_0 + 1{A=k}·(Y − μ_k)/e_k − 1{A=0}·(Y − μ_0)/e_0

x, r and dr take e and μ from what has not seen the row's fold, the same for all learners: `with_shares` or
`Chances`, then `with_means`. Each arm has models of its own, unless `Arms.traits` says what arms are like (depth,
kind, minimum spend): then the offers share one that sees the traits beside x, so that a rare one learns from those like
it. Of r there is no such form here: `effect` is it, with a linear last stage.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, Literal, get_args

from pyspark.ml import Estimator, Model, PipelineModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.parallel import side_by_side
from offerlake.response.models import read_text

Learner = Literal["s", "t", "x", "r", "dr"]
LEARNERS: tuple[Learner, ...] = get_args(Learner)
X, ARM, OUTCOME, FOLD, CHANCES, MEANS, OWN_MEANS, EFFECTS = "x", "arm", "y", "fold", "e", "mu", "mu_own", "tau"
"""Columns: what is known (array of doubles), arm (int), outcome (double), fold (int); P(arm | x) and E[y | x, arm], the
latter also by each arm's own model (arrays, one number an arm, arm 0 first); effects (array, one number an offer)."""

_VECTOR, _LABEL, _WEIGHT = "_vector", "_label", "_weight"
_SWEEPS = 3  # over the arms of r: they hardly correlate, so the third changes little
_LEAST = 1e-6  # weight of a row of r below which it says nothing of the arm


@dataclass(frozen=True)
class Bases:
    """The models inside, not fitted; what they are set to (seeds included) stays.

    Attributes:
        outcome: Of μ: a regressor, or for outcomes of 0 and 1 a classifier, whose probability counts.
        effect: Of effects: a regressor; r gives it weights (`weightCol`).
    """

    outcome: Estimator[Any]
    effect: Estimator[Any]


@dataclass(frozen=True)
class Arms:
    """Nothing, which is 0, and the offers.

    Attributes:
        offers: K, how many.
        traits: What each arm is like, arm 0 first, equally many numbers each; None: each arm has models of its own.
    """

    offers: int
    traits: tuple[tuple[float, ...], ...] | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the offers, from 1."""
        return tuple(range(1, self.offers + 1))


@dataclass(frozen=True)
class Surface:
    """A number of x for each of some arms.

    Attributes:
        models: Fitted.
        places: Arm to the place of its model in `models`.
        traits: Arm to what its model sees beside x.
    """

    models: tuple[PipelineModel, ...]
    places: Mapping[int, int]
    traits: Mapping[int, tuple[float, ...]]

    def add(self, frame: DataFrame, *, column: str) -> DataFrame:
        """Adds the numbers of all its arms, in their order, as an array of doubles."""
        made, names = frame, [f"_{column}{arm}" for arm in sorted(self.places)]
        for arm, name in zip(sorted(self.places), names, strict=True):
            vector = made.withColumn(_VECTOR, _vector(self.traits.get(arm, ())))
            made = _predicted(self.models[self.places[arm]], vector, column=name)
        return made.select(*frame.columns, F.array(*names).alias(column))

    def beside(self, other: Surface) -> Surface:
        """Both, of different arms."""
        further = {arm: place + len(self.models) for arm, place in other.places.items()}
        return Surface(self.models + other.models, {**self.places, **further}, {**self.traits, **other.traits})

    def save(self, folder: str) -> dict[str, Any]:
        """Writes the models below `folder` and returns the rest, as JSON's own types."""
        for number, model in enumerate(self.models):
            model.write().overwrite().save(f"{folder}/{number}")
        return {
            "models": len(self.models),
            "places": {str(arm): place for arm, place in self.places.items()},
            "traits": {str(arm): list(values) for arm, values in self.traits.items()},
        }

    @staticmethod
    def load(folder: str, content: Mapping[str, Any]) -> Surface:
        """Reads what `save` wrote."""
        return Surface(
            tuple(PipelineModel.load(f"{folder}/{number}") for number in range(content["models"])),
            {int(arm): place for arm, place in content["places"].items()},
            {int(arm): tuple(values) for arm, values in content["traits"].items()},
        )


@dataclass(frozen=True)
class EffectModel:
    """Effects of offers on rows whose arm and outcome are not known.

    Attributes:
        learner: What taught it.
        shares: Mean e of each arm, nothing first: what x weighs by where a row has no `e`.
        surfaces: `mu` of s and t, `on` and `off` of x, `tau` of r and dr.
    """

    learner: Learner
    shares: tuple[float, ...]
    surfaces: Mapping[str, Surface]

    def predict(self, frame: DataFrame, *, column: str = EFFECTS) -> DataFrame:
        """Adds the effects of all offers, in their order, as an array of doubles.

        Args:
            frame: `x`; for learner x also `e`, where it is known.
            column: Name of the new column.
        """
        made = frame
        for name, surface in self.surfaces.items():
            made = surface.add(made, column=f"_{name}")
        chances = F.col(CHANCES) if CHANCES in frame.columns else _numbers(self.shares)
        return made.select(*frame.columns, F.array(*[self._effect(k, chances) for k in self._offers()]).alias(column))

    def _offers(self) -> range:
        return range(1, len(self.shares))

    def _effect(self, offer: int, chances: Column) -> Column:
        if self.learner in ("s", "t"):
            return F.col("_mu")[offer] - F.col("_mu")[0]
        if self.learner == "x":
            g = chances[offer] / (chances[offer] + chances[0])
            return g * F.col("_off")[offer - 1] + (1 - g) * F.col("_on")[offer - 1]
        return F.col("_tau")[offer - 1]

    def save(self, folder: str) -> bytes:
        """Writes the models below `folder` and returns the rest, for `folder/effects.json`."""
        content = {
            "learner": self.learner,
            "shares": list(self.shares),
            "surfaces": {name: surface.save(f"{folder}/{name}") for name, surface in self.surfaces.items()},
        }
        return json.dumps(content, indent=1).encode()

    @staticmethod
    def load(spark: SparkSession, folder: str) -> EffectModel:
        """Reads what `save` wrote."""
        content = json.loads(read_text(spark, f"{folder}/effects.json"))
        surfaces = {name: Surface.load(f"{folder}/{name}", part) for name, part in content["surfaces"].items()}
        return EffectModel(content["learner"], tuple(content["shares"]), surfaces)


def checked(rows: DataFrame, arms: Arms, *, folds: int) -> DataFrame:
    """The rows, if effects can be learnt from them.

    Args:
        rows: `x`, `arm`, `y`, `fold`; `e` where it is known.
        arms: The offers.
        folds: Folds of users, numbered from 0; two at least.

    Raises:
        DataError: A number is missing or infinite, an arm is unknown or has no row outside some fold, or an `e` is not
            between 0 and 1.
    """

    def odd(number: Column) -> Column:
        return number.isNull() | F.isnan(number) | (F.abs(number) == float("inf"))

    known = CHANCES in rows.columns
    row = rows.agg(
        F.count_if(odd(F.col(OUTCOME))).alias("outcomes"),
        F.count_if(F.coalesce(F.exists(X, odd), F.lit(True))).alias("numbers"),
        F.count_if(F.coalesce(F.exists(CHANCES, lambda e: e.isNull() | ~((e > 0) & (e < 1))), F.lit(True))).alias(
            "chances"
        )
        if known
        else F.lit(0).alias("chances"),
        F.count_if(~F.col(ARM).between(0, arms.offers) | F.col(ARM).isNull()).alias("arms"),
        F.min(FOLD).alias("first"),
        F.max(FOLD).alias("last"),
    ).first()
    assert row is not None
    told = {
        "outcomes": (f"{OUTCOME}: {row['outcomes']} values are missing or infinite", "Leave such rows out."),
        "numbers": (f"{X}: {row['numbers']} rows have a number that is missing or infinite", "Fill in a mean."),
        "chances": (
            f"{CHANCES}: {row['chances']} rows have a propensity that is missing or not between 0 and 1",
            "Only rows that could have got any arm tell what it changes: leave the others out.",
        ),
        "arms": (f"{ARM}: {row['arms']} values are not between 0 and {arms.offers}", "0 is nothing."),
    }
    for name, (message, fix) in told.items():
        if row[name]:
            raise DataError(message, fix=fix)
    if folds < 2 or row["first"] is None or not 0 <= row["first"] <= row["last"] < folds:
        raise DataError(
            f"{FOLD}: from {row['first']} to {row['last']}, with {folds} folds", fix="Two folds at least, from 0."
        )
    counts = rows.groupBy(ARM, FOLD).count().collect()
    for arm in (0, *arms.numbers):
        for number in range(folds):
            if not sum(part["count"] for part in counts if part[ARM] == arm and part[FOLD] != number):
                raise DataError(
                    f"{ARM} {arm}: no rows outside fold {number}",
                    fix="Leave the offer out, give more users, or take fewer folds.",
                )
    return rows


def with_shares(rows: DataFrame, arms: Arms) -> DataFrame:
    """Adds `e` of a trial in which everybody had the same chances: the arms' shares of the rows."""
    counts = {row[ARM]: row["count"] for row in rows.groupBy(ARM).count().collect()}
    total = sum(counts.values())
    return rows.withColumn(CHANCES, _numbers([counts.get(arm, 0) / total for arm in (0, *arms.numbers)]))


@dataclass(frozen=True)
class Chances:
    """P(arm | x) where it is not known.

    What is learnt with it rests on x telling all that decided who got what: see `overlap.balance`.

    Attributes:
        models: Classifiers of the arm, the nth has not seen fold n.
        clip: Least chance of an arm; then they add up to 1 again.
    """

    models: tuple[Model, ...]
    clip: float

    @classmethod
    def of(cls, rows: DataFrame, classifier: Estimator[Any], *, folds: int, clip: float = 0.01) -> Chances:
        """Learns them.

        Args:
            rows: `x`, `arm`, `fold`; all arms are there outside each fold.
            classifier: Of all arms, such as a multinomial `LogisticRegression`.
            folds: Number of folds.
            clip: See above.
        """

        def without(number: int) -> Model:
            return _fit(classifier, rows.where(F.col(FOLD) != number), label=ARM)

        return cls(tuple(side_by_side(without, range(folds))), clip)

    def crossed(self, rows: DataFrame) -> DataFrame:
        """Adds `e` to the rows that taught, by what has not seen their fold."""
        parts = [self._held(rows.where(F.col(FOLD) == n), (model,)) for n, model in enumerate(self.models)]
        return reduce(DataFrame.unionByName, parts)

    def add(self, frame: DataFrame) -> DataFrame:
        """Adds `e` to other rows: the mean of all models."""
        return self._held(frame, self.models)

    def _held(self, frame: DataFrame, models: Sequence[Model]) -> DataFrame:
        made = frame.withColumn(_VECTOR, _vector())
        for number, model in enumerate(models):
            found = vector_to_array(F.col("probability")).alias(f"_e{number}")
            made = model.transform(made).select(*frame.columns, *[f"_e{n}" for n in range(number)], _VECTOR, found)
        together = reduce(
            lambda one, other: F.zip_with(one, other, lambda a, b: a + b), [F.col(f"_e{n}") for n in range(len(models))]
        )
        mean = F.transform(together, lambda e: F.greatest(e / len(models), F.lit(self.clip)))
        total = F.aggregate(F.col("_mean"), F.lit(0.0), lambda sum_, e: sum_ + e)
        return (
            made.withColumn("_mean", mean)
            .withColumn("_total", total)
            .select(*frame.columns, F.transform("_mean", lambda e: e / F.col("_total")).alias(CHANCES))
        )


def with_means(rows: DataFrame, bases: Bases, arms: Arms, *, folds: int) -> DataFrame:
    """Adds `mu` and `mu_own`, E[y | x, arm] of all arms, by models that have not seen the row's fold.

    `mu_own`, which x takes, is of several models, as learner t has them. `mu`, which r and dr take, is that or of one
    model for all arms, as learner s has it: that of which the mean of (y − μ)² / e² is smaller on rows that neither has
    seen, which is what doubly robust scores vary by. One is better where arms went to different people and change
    little, several where they change much.
    """

    def of_fold(number: int) -> DataFrame:
        teaching, own = rows.where(F.col(FOLD) != number), rows.where(F.col(FOLD) == number)
        one, several = _together(teaching, bases, arms), _outcomes(teaching, bases, arms)
        return several.add(one.add(own, column="_one"), column="_several")

    both = reduce(DataFrame.unionByName, side_by_side(of_fold, range(folds)))
    ways = ("_several", "_one")
    own = F.col(ARM) + 1
    errors = both.agg(
        *[F.avg(((F.col(OUTCOME) - F.element_at(name, own)) / F.element_at(CHANCES, own)) ** 2) for name in ways]
    ).first()
    assert errors is not None
    best = ways[0] if errors[0] <= errors[1] else ways[1]
    return both.select(*rows.columns, F.col(best).alias(MEANS), F.col("_several").alias(OWN_MEANS))


def scores(offer: int) -> Column:
    """Γ of an offer, see above: its expectation given x is the effect if `e` or `mu` is right."""
    own, mean, chance = F.col(ARM), F.col(MEANS), F.col(CHANCES)
    found = mean[offer] - mean[0]
    for arm, sign in ((offer, 1), (0, -1)):
        rest = sign * (F.col(OUTCOME) - mean[arm]) / chance[arm]
        found = found + F.when(own == arm, rest).otherwise(0.0)
    return found


def fit_effects(rows: DataFrame, learner: Learner, bases: Bases, arms: Arms) -> EffectModel:
    """Teaches a learner.

    Args:
        rows: `x`, `arm`, `y`, `e`; for x, r and dr also what `with_means` adds. They are read many times: persist them.
        learner: Which.
        bases: The models inside.
        arms: The offers.

    Raises:
        DataError: The arms of r have traits.
    """
    if learner == "s":
        surfaces = {"mu": _together(rows, bases, arms)}
    elif learner == "t":
        surfaces = {"mu": _outcomes(rows, bases, arms)}
    elif learner == "x":
        surfaces = _of_x(rows, bases, arms)
    elif learner == "r":
        surfaces = {"tau": _of_r(rows, bases, arms)}
    else:
        surfaces = {
            "tau": _fitted(lambda k: rows.withColumn(_LABEL, scores(k)), arms.numbers, bases.effect, arms.traits)
        }
    means = rows.agg(*[F.avg(F.col(CHANCES)[arm]).alias(str(arm)) for arm in (0, *arms.numbers)]).first()
    assert means is not None
    return EffectModel(learner, tuple(means), surfaces)


def risk(rows: DataFrame, *, column: str = EFFECTS) -> float:
    """Mean of (Γ_k − τ_k)² over rows and offers: of two models that of the smaller one is nearer to the effects.

    Args:
        rows: Which no model has seen: `arm`, `y`, `e`, `mu` and the effects.
        column: Name of the effects.
    """
    offers = rows.select(F.size(CHANCES)).first()
    if offers is None:
        raise DataError("no rows to judge effects by", fix="Give rows that the models have not seen.")
    squares = [(scores(k) - F.col(column)[k - 1]) ** 2 for k in range(1, offers[0])]
    row = rows.agg(F.avg(reduce(lambda left, right: left + right, squares))).first()
    assert row is not None
    return float(row[0]) / len(squares)


def _outcomes(rows: DataFrame, bases: Bases, arms: Arms) -> Surface:
    """μ: one model for nothing; for the offers one each, or one for all where they have traits."""
    of = partial(_own_rows, rows)
    nothing = _fitted(of, (0,), bases.outcome, None)
    return nothing.beside(_fitted(of, arms.numbers, bases.outcome, arms.traits))


def _together(rows: DataFrame, bases: Bases, arms: Arms) -> Surface:
    """μ of all arms by one model; without traits it sees which arm it is, nothing too: a tree can split that off."""
    every = (0, *arms.numbers)
    traits = arms.traits or tuple(tuple(float(arm == other) for other in every) for arm in every)

    return _fitted(partial(_own_rows, rows), every, bases.outcome, traits)


def _own_rows(rows: DataFrame, arm: int) -> DataFrame:
    """What teaches μ of an arm."""
    return rows.where(F.col(ARM) == arm).withColumn(_LABEL, F.col(OUTCOME))


def _of_x(rows: DataFrame, bases: Bases, arms: Arms) -> dict[str, Surface]:
    mean = F.col(OWN_MEANS)

    def on(arm: int) -> DataFrame:
        return rows.where(F.col(ARM) == arm).withColumn(_LABEL, F.col(OUTCOME) - mean[0])

    def off(arm: int) -> DataFrame:
        return rows.where(F.col(ARM) == 0).withColumn(_LABEL, mean[arm] - F.col(OUTCOME))

    return {name: _fitted(of, arms.numbers, bases.effect, arms.traits) for name, of in (("on", on), ("off", off))}


def _of_r(rows: DataFrame, bases: Bases, arms: Arms) -> Surface:
    """One arm's effect after the other, given the others: each step makes the joint sum of squares smaller."""
    if arms.traits is not None:
        raise DataError("learner r: its arms have traits", fix="Leave them out, or take another learner.")
    mean = [F.col(CHANCES)[arm] * F.col(MEANS)[arm] for arm in (0, *arms.numbers)]
    rest = F.col(OUTCOME) - reduce(lambda left, right: left + right, mean)
    frame = rows.select(X, ARM, CHANCES, rest.alias("_rest"), *[F.lit(0.0).alias(f"_tau{k}") for k in arms.numbers])
    found: dict[int, Surface] = {}
    for _ in range(_SWEEPS if arms.offers > 1 else 1):
        for arm in arms.numbers:
            others = [F.col(f"_tau{k}") * _surprise(k) for k in arms.numbers if k != arm]
            left = reduce(lambda one, other: one - other, others, F.col("_rest"))
            weight = _surprise(arm) ** 2
            teaching = frame.where(weight > _LEAST).withColumns({_LABEL: left / _surprise(arm), _WEIGHT: weight})
            found[arm] = _fitted({arm: teaching}.__getitem__, (arm,), bases.effect, None)
            kept = [F.col(name) for name in frame.columns if name != f"_tau{arm}"]
            frame = found[arm].add(frame, column="_new").select(*kept, F.col("_new")[0].alias(f"_tau{arm}"))
    return reduce(Surface.beside, [found[arm] for arm in arms.numbers])


def _surprise(arm: int) -> Column:
    """1{A=k} − e_k."""
    return (F.col(ARM) == arm).cast("double") - F.col(CHANCES)[arm]


def _fitted(
    teaching: Callable[[int], DataFrame],
    arms: Sequence[int],
    estimator: Estimator[Any],
    traits: Sequence[tuple[float, ...]] | None,
) -> Surface:
    """A model of `_LABEL` for each arm by its rows; with traits one for all of them."""
    if traits is None:
        models = side_by_side(lambda arm: _fit(estimator, teaching(arm)), arms)
        return Surface(tuple(PipelineModel([m]) for m in models), {arm: n for n, arm in enumerate(arms)}, {})
    seen = {arm: traits[arm] for arm in arms}
    parts = [teaching(arm).select(_vector(seen[arm]).alias(_VECTOR), _LABEL) for arm in arms]
    whole = reduce(DataFrame.unionByName, parts)
    return Surface((PipelineModel([_fit(estimator, whole)]),), dict.fromkeys(arms, 0), seen)


def _fit(estimator: Estimator[Any], frame: DataFrame, *, label: str = _LABEL) -> Model:
    """An estimator of `label` by `_VECTOR` (made of `x` where it is not there), with weights where there are some."""
    names = {"featuresCol": _VECTOR, "labelCol": _LABEL}
    if _WEIGHT in frame.columns:
        names["weightCol"] = _WEIGHT
    made = {
        _VECTOR: F.col(_VECTOR) if _VECTOR in frame.columns else _vector(),
        _LABEL: F.col(label).cast("double"),
        _WEIGHT: F.col(_WEIGHT),
    }
    teaching = frame.select(*[made[name].alias(name) for name in names.values()])
    fitted: Model = estimator.copy({estimator.getParam(name): value for name, value in names.items()}).fit(teaching)
    return fitted


def _predicted(model: PipelineModel, frame: DataFrame, *, column: str) -> DataFrame:
    """Adds what a model makes of `_VECTOR`: of a classifier the probability of 1."""
    found = model.transform(frame)
    value = F.col("prediction")
    if "probability" in found.columns:
        value = F.element_at(vector_to_array(F.col("probability")), 2)
    kept = [name for name in frame.columns if name != _VECTOR]
    return found.select(*kept, value.cast("double").alias(column))


def _vector(traits: Sequence[float] = ()) -> Column:
    return array_to_vector(F.concat(X, _numbers(traits)) if traits else F.col(X))


def _numbers(values: Sequence[float]) -> Column:
    return F.array(*[F.lit(float(value)) for value in values])
