"""The test campaigns of The Complete Journey, judged in detail: see completejourney.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, precision_recall_fscore_support

from offerlake.config import Settings
from offerlake.response.features import squeeze
from offerlake.response.models import ResponseModel

Doubles = npt.NDArray[np.float64]
NAMED = (
    "tenure_days", "order_recency_days", "orders_84d", "orders_364d", "money_84d", "money_364d", "typical_order_value",
    "order_gap_days", "discount_share_364d", "coupon_lines_364d", "exposures_364d", "redemptions_364d",
    "redemption_rate_364d", "categories_364d", "scope_affinity", "scope_units_364d", "scope_products_364d",
)  # fmt: skip
"""What the plain logistic regression sees: seventeen numbers that an analyst would take."""
LARGE, SAMPLES, BINS = "18", 2000, 5


def judged(examples: DataFrame, model: ResponseModel, settings: Settings) -> dict[str, Any]:
    """AUC pooled, within campaigns and without campaign 18, each beside the plain regression's; and the other numbers.

    Intervals are of 2,000 Poisson bootstraps over households. Within campaigns: of pairs of a household that redeemed
    and one that did not, of the same campaign, the share in the right order. The threshold of precision and recall is
    that at which, of the campaigns that taught, as many households were called redeeming as redeemed; each household's
    probability is of the model of its fold, which has not seen it.
    """
    label, cut = settings.response.label, F.lit(settings.response.test_from)
    dated = model.predict(examples, column="p").select(
        "user_id", "offer_id", "p", F.col(label).cast("double").alias("y"), *NAMED,
        (F.col("label_end") <= cut.cast("timestamp")).alias("teaches"), (F.col("shown_date") >= cut).alias("judges"),
    )  # fmt: skip
    frame = dated.toPandas().sort_values(["offer_id", "user_id"]).reset_index(drop=True)
    before, after = frame[frame["teaches"]], frame[frame["judges"]].reset_index(drop=True)
    plain = _plain(before, after)
    y, p, campaign = after["y"].to_numpy(), after["p"].to_numpy(), after["offer_id"].to_numpy()
    _, household = np.unique(after["user_id"], return_inverse=True)
    draws = np.random.default_rng(settings.run.seed).poisson(1, (SAMPLES, household.max() + 1))[:, household]
    ways = {
        "pooled": np.zeros(len(y), dtype=np.int64),
        "within": np.unique(campaign, return_inverse=True)[1],
        "without_18": np.where(campaign == LARGE, -1, 0),
    }
    found: dict[str, Any] = {}
    for name, group in ways.items():
        ours, theirs = (_sampled(y, score, group, draws) for score in (p, plain))
        for what, values in ((name, ours), (f"{name}_plain", theirs), (f"{name}_gain", ours - theirs)):
            low, high = np.nanquantile(values[1:], [0.025, 0.975])
            found[f"auc_{what}"] = [round(float(value), 4) for value in (values[0], low, high)]
    ranked = np.sort(before["p"].to_numpy())[::-1]
    threshold = float(ranked[max(int(before["y"].sum()) - 1, 0)])
    called = p >= threshold
    precision, recall, f1, _ = precision_recall_fscore_support(y, called, average="binary", zero_division=0)
    found |= {
        "brier": round(float(brier_score_loss(y, p)), 4),
        "log_loss": round(float(log_loss(y, p)), 4),
        "pr_auc": round(float(average_precision_score(y, p)), 4),
        "threshold": round(threshold, 4),
        "precision": round(float(precision), 3),
        "recall": round(float(recall), 3),
        "f1": round(float(f1), 3),
        "accuracy": round(float(np.mean(called == y)), 3),
        "reliability": [
            [len(part), round(float(p[part].mean()), 3), round(float(y[part].mean()), 3)]
            for part in np.array_split(np.argsort(p, kind="stable"), BINS)
        ],
    }
    return found


def _plain(before: pd.DataFrame, after: pd.DataFrame) -> Doubles:
    """P(y) by a logistic regression on `NAMED`, standardised, a missing number the mean, as it comes."""
    teach, judge = (squeeze(part[list(NAMED)].to_numpy(dtype=np.float64)) for part in (before, after))
    mean, spread = np.nanmean(teach, axis=0), np.nanstd(teach, axis=0)
    teach, judge = (np.nan_to_num((x - mean) / np.where(spread > 0, spread, 1)) for x in (teach, judge))
    found: Doubles = LogisticRegression(max_iter=1000).fit(teach, before["y"]).predict_proba(judge)[:, 1]
    return found


def _sampled(y: Doubles, score: Doubles, group: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]) -> Doubles:
    """AUC of pairs of the same group (−1: left out): as it is, then of each draw of weights (draws × rows)."""
    order = np.lexsort((score, group))
    order = order[group[order] >= 0]
    y, score, group = y[order], score[order], group[order]
    ties = np.cumsum(np.concatenate([[0], (np.diff(score) != 0) | (np.diff(group) != 0)]).astype(int))
    starts = np.flatnonzero(np.diff(ties, prepend=-1))
    first = np.flatnonzero(np.diff(group[starts], prepend=-1))
    values = []
    for weight in (np.ones(len(y)), *draws[:, order]):
        ones, zeros = np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts)
        below = np.cumsum(zeros) - zeros
        size = np.diff([*first, len(starts)])
        below = below - np.repeat(below[first], size)
        right = float((ones * (below + zeros / 2)).sum())
        pairs = float((np.add.reduceat(ones, first) * np.add.reduceat(zeros, first)).sum())
        values.append(right / pairs if pairs else np.nan)
    return np.array(values)
