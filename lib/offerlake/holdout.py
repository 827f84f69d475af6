"""A window of the past on which recommendations are judged, or learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import RecommendSettings, RerankSettings, Settings
from offerlake.evaluate.ranking import per_user
from offerlake.features.catalogue import known_products
from offerlake.features.groups import user_groups
from offerlake.features.interactions import interactions
from offerlake.job import Need
from offerlake.recommend.blocks import Rule
from offerlake.recommend.judged import Stage, bought_after
from offerlake.recommend.rerank import drawn, train

READS = ("user_index", "product_index", "clicks", "order_lines", "products", "users")
"""The tables that a holdout is made of."""


def index_needs(settings: Settings) -> tuple[Need, ...]:
    """What an index of products is made with, where one is wanted."""
    if not settings.recommend.approximate.enabled:
        return ()
    fix = 'Run pip install "offerlake[ann]", or set recommend.approximate.enabled=false.'
    return (Need("faiss", fix, "recommend.approximate.enabled is true, and "),)


@dataclass(frozen=True)
class Holdout:
    """One window.

    Attributes:
        stage: The first stage as of its first day; what it has seen is cached.
        bought: user_id, product_id: what was bought in it, see `bought_after`; cached.
        buyers: user_id: by whom.
    """

    stage: Stage
    bought: DataFrame
    buyers: DataFrame

    @classmethod
    def of(
        cls, read: Callable[[str], DataFrame], *, cut: date, until: date, settings: RecommendSettings, seed: int
    ) -> Holdout | None:
        """That of [cut, until), by a fit of ALS on what was known at `cut`; None where nobody had done anything then.

        Args:
            read: Name to table, for those of READS.
            cut: First day of the window.
            until: First day after it.
            settings: As for `candidates`.
            seed: Of ALS.
        """
        lines = read("order_lines")
        weights, half_life = settings.weights, settings.half_life_days
        before = interactions(
            cut, clicks=read("clicks"), order_lines=lines, weights=weights, half_life_days=half_life
        ).cache()
        if before.isEmpty():
            before.unpersist()
            return None
        stage = Stage.of(
            before,
            cut=cut,
            user_index=read("user_index"),
            product_index=read("product_index"),
            products=known_products(read("products"), as_of=cut),
            groups=user_groups(read, by=settings.popularity_by, as_of=cut),
            settings=settings,
            seed=seed,
        )
        bought = bought_after(before, lines, cut=cut, as_of=until, mode=settings.mode).cache()
        return cls(stage, bought, bought.select("user_id").distinct())

    def learnt(self, rule: Rule, *, settings: RerankSettings, seed: int) -> bytes | None:
        """The trees of a second stage that has seen this window, see `rerank.train`."""
        pools = self.stage.pools(drawn(self.buyers, most=settings.users, seed=seed), rule, settings.pool)
        return train(pools, self.bought, settings=settings, seed=seed)

    def gained(self, rule: Rule, trees: bytes, *, pool: int, ks: Sequence[int]) -> DataFrame:
        """The metrics of each buyer's list with a second stage, and `gain`: by how much its NDCG is higher with it.

        Args:
            rule: What is shown.
            trees: Learnt on another window.
            pool: Products that they order.
            ks: As for `per_user`; the gain is of the first.
        """
        metric = f"ndcg@{ks[0]}"
        second, first = (
            per_user(self.stage.recommend(self.buyers, [rule], order).drop("rule"), self.bought, ks=ks)
            for order in (self.stage.ranker(trees, pool), None)
        )
        beside = first.select("user_id", F.col(f"`{metric}`").alias("_without"))
        gain = (F.col(f"`{metric}`") - F.col("_without")).alias("gain")
        return second.join(beside, on="user_id", how="inner").select("*", gain).drop("_without")

    def unpersist(self) -> None:
        """Lets go of what is cached."""
        self.stage.scorer.interactions.unpersist()
        self.bought.unpersist()
