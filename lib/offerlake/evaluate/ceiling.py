"""What the features allow at all: boosting fitted on the truth itself, cross-fitted by user."""

from __future__ import annotations

import importlib.util

import numpy as np
import numpy.typing as npt
import pandas as pd

from offerlake.evaluate.truth import generator
from offerlake.schemas.gold import USER_FEATURE_COLUMNS

Floats = npt.NDArray[np.float64]
FOLDS = 2
ROUNDS = 80
_PARAMETERS = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_depth": 4,
    "eta": 0.1,
    "min_child_weight": 20,
    "max_bin": 64,
    "nthread": 2,
}


def can_fit() -> bool:
    """True where xgboost is installed (the extra `boost`)."""
    return importlib.util.find_spec("xgboost") is not None


def feature_matrix(users: pd.DataFrame) -> Floats:
    """USER_FEATURE_COLUMNS as numbers, missing as NaN, categories as indicators; and the affinity to each category.

    Args:
        users: One row a user, with USER_FEATURE_COLUMNS and category_affinity (what models see of it as
            `scope_affinity`, offer by offer).
    """
    affinity = pd.DataFrame([dict(shares or {}) for shares in users["category_affinity"]], index=users.index)
    parts = [affinity.reindex(columns=sorted(affinity.columns)).fillna(0.0)]
    for column in USER_FEATURE_COLUMNS:
        values = users[column.name]
        if column.type == "string":
            parts.append(pd.get_dummies(values, prefix=column.name, dtype=float))
        else:
            parts.append(values.astype(float).to_frame())
    return pd.concat(parts, axis=1).to_numpy(dtype=np.float64)


def fit_ceiling(features: Floats, value: Floats, cost: Floats, *, seed: int) -> tuple[Floats, Floats]:
    """Predicts the true value and cost of every offer for every user from models that saw only other users' truth.

    Args:
        features: Shape (users, features), NaN where missing.
        value: True incremental margin, shape (users, offers), finite.
        cost: True expected cost, likewise.
        seed: Of the folds.

    Returns:
        Value and cost, each of shape (users, offers).
    """
    import xgboost

    target = np.hstack([value, cost])
    # Every offer counts alike, whatever the size of its effects.
    middle, scale = target.mean(axis=0), np.maximum(target.std(axis=0), 1e-12)
    fold = generator(seed, 3).integers(0, FOLDS, size=len(target))
    predicted = np.tile(middle, (len(target), 1))
    for held in range(FOLDS):
        learn, judge = fold != held, fold == held
        if not learn.any() or not judge.any():
            continue
        known = xgboost.DMatrix(features[learn], label=(target[learn] - middle) / scale)
        model = xgboost.train(_PARAMETERS, known, num_boost_round=ROUNDS)
        shape = (int(judge.sum()), target.shape[1])
        predicted[judge] = middle + scale * model.predict(xgboost.DMatrix(features[judge])).reshape(shape)
    offers = value.shape[1]
    return predicted[:, :offers], predicted[:, offers:]
