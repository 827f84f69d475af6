"""The candidates of a day in the past, by each way of making them, and what was bought after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial

from pyspark.ml.recommendation import ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import RecommendSettings
from offerlake.recommend.als import fit, ratings, user_factors
from offerlake.recommend.baselines import frequency, popularity, popularity_in_groups
from offerlake.recommend.blocks import Floats, Rule, SecondStage
from offerlake.recommend.content import untouched
from offerlake.recommend.rerank import Ranker, beside, features, traits
from offerlake.recommend.topn import Scorer, catalogue, showable


def bought_after(before: DataFrame, order_lines: DataFrame, *, cut: date, as_of: date, mode: str) -> DataFrame:
    """What users bought in [cut, as_of), known before as_of; in mode `discover` only what they had not bought before.

    Args:
        before: The table `interactions` as of `cut`.
        order_lines: The table `order_lines`.
        cut: First day of the truth.
        as_of: First day after it.
        mode: replenish, discover or both.

    Returns:
        user_id, product_id: distinct.
    """
    start, end = (F.lit(day).cast("timestamp") for day in (cut, as_of))
    bought = (
        order_lines.where((F.col("order_time") >= start) & (F.col("order_time") < end) & (F.col("arrived_at") < end))
        .where((F.col("quantity") > 0) & F.col("known_product"))
        .select("user_id", "product_id")
        .distinct()
    )
    if mode != "discover":
        return bought
    known = before.where(F.col("purchases") > 0).select("user_id", "product_id")
    return bought.join(known, on=["user_id", "product_id"], how="left_anti")


@dataclass(frozen=True)
class Stage:
    """The first stage as of a day in the past.

    Attributes:
        scorer: What it makes lists of.
        model: ALS, fitted on what was known then.
        days: Of late, see `popularity`.
    """

    scorer: Scorer
    model: ALSModel
    days: int

    @classmethod
    def of(
        cls,
        before: DataFrame,
        *,
        cut: date,
        user_index: DataFrame,
        product_index: DataFrame,
        products: DataFrame,
        groups: DataFrame | None,
        settings: RecommendSettings,
        seed: int,
    ) -> Stage:
        """Fits ALS.

        Args:
            before: The table `interactions` as of `cut`.
            cut: The day.
            user_index: user_id, idx.
            product_index: product_id, idx.
            products: What `known_products` gives as of `cut`.
            groups: What `user_groups` gives as of `cut`.
            settings: As for `candidates`.
            seed: Of ALS.
        """
        model = fit(ratings(before, user_index, product_index), settings=settings, seed=seed)
        popular = popularity(before, as_of=cut, days=settings.popularity_days, mode=settings.mode)
        listed = catalogue(
            model.itemFactors,
            product_index,
            popular,
            showable(products, blocked=settings.blocked_categories),
            untouched=untouched(products, model.itemFactors, product_index, popular, settings=settings.content),
            in_groups=popularity_in_groups(before, groups, as_of=cut, days=settings.popularity_days),
            approximate=settings.approximate,
            seed=seed,
        )
        scorer = Scorer(before, user_factors(model, user_index), product_index, listed, groups)
        return cls(scorer, model, settings.popularity_days)

    def recommend(self, users: DataFrame, rules: Sequence[Rule], second: SecondStage | None = None) -> DataFrame:
        """What `Scorer.recommend` gives, a row a product: rule, user_id, product_id, rank (from 1)."""
        made = self.scorer.recommend(users, rules, second)
        placed = made.select("rule", "user_id", F.posexplode("items.product_id").alias("place", "product_id"))
        return placed.select("rule", "user_id", "product_id", (F.col("place") + 1).alias("rank"))

    def pools(self, users: DataFrame, rule: Rule, size: int) -> DataFrame:
        """What `Scorer.pools` gives, with `rerank.features`."""
        return self.scorer.pools(users, rule, size, partial(features, of_products=self._traits))

    def ranker(self, trees: bytes, size: int) -> Ranker:
        """A second stage with trees that were learnt before."""
        return Ranker(size, trees, self._traits)

    @cached_property
    def _traits(self) -> Floats:
        """How its products are bought: collected once for what learns and what ranks."""
        return beside(self.scorer.products, traits(self.scorer.interactions, days=self.days))


@dataclass(frozen=True)
class Contenders:
    """Ranked products of the same users, each a frame of user_id, product_id, rank.

    Attributes:
        ours: Weight of own purchases to what `candidates` would have with it; 0 is ALS alone, but in mode replenish.
        baselines: By the names their metrics have: `recommend.popularity`, the same for everybody but for the mode's
            filter; `recommend.popularity_in_groups`, the same for a group (where there are any); `recommend.own`, the
            user's most bought (not in discover); `recommend.als`, ALS alone (in replenish).
        made: What all but `recommend.own` are parts of; it is cached: unpersist it in the end.
    """

    ours: dict[float, DataFrame]
    baselines: dict[str, DataFrame]
    made: DataFrame


def contenders(users: DataFrame, stage: Stage, *, settings: RecommendSettings) -> Contenders:
    """What each way would have shown to some users.

    Args:
        users: user_id: for whom.
        stage: As of the day.
        settings: As for `candidates`.
    """
    weights = (0.0,) if settings.mode == "discover" else (0.0, *settings.own_weights)
    rules: dict[float | str, Rule] = {weight: Rule.of(settings, own_weight=weight) for weight in weights}
    plain = rules[0.0]
    if settings.mode == "replenish":
        plain = replace(plain, mode="both")
        rules["recommend.als"] = plain
    rules["recommend.popularity"] = replace(plain, personal=False, in_groups=False)
    if stage.scorer.products.groups:
        rules["recommend.popularity_in_groups"] = replace(plain, personal=False)
    made = stage.recommend(users, list(rules.values())).cache()
    by_name = {name: made.where(F.col("rule") == number).drop("rule") for number, name in enumerate(rules)}
    baselines = {name: frame for name, frame in by_name.items() if isinstance(name, str)}
    if settings.mode != "discover":
        baselines["recommend.own"] = frequency(stage.scorer.interactions, k=settings.n)
    return Contenders({weight: by_name[weight] for weight in weights}, baselines, made)
