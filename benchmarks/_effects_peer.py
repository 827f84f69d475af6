"""econml's learners on the data of benchmarks/effects.py; run by a Python that has econml.

python _effects_peer.py FOLDER SETTINGS: reads FOLDER/learn and FOLDER/judge, writes FOLDER/peer.parquet, a column of
effects for each learner, and FOLDER/peer.json, its seconds.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from econml.dml import NonParamDML
from econml.dr import DRLearner
from econml.metalearners import SLearner, TLearner, XLearner
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from xgboost import XGBRegressor

warnings.filterwarnings("ignore")


def main() -> None:
    """Fits and judges each."""
    folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    columns = [f"x{n}" for n in range(settings["numbers"])]

    def read(name: str) -> tuple[np.ndarray, pa.Table]:
        table = pq.read_table(folder / name)
        return np.column_stack([table[column].to_numpy() for column in columns]), table

    x, learn = read("learn")
    judge, _ = read("judge")
    arm, y = learn["arm"].to_numpy(), learn["y"].to_numpy()

    def trees() -> Any:
        return XGBRegressor(tree_method="hist", random_state=1, verbosity=0, min_child_weight=1, **settings["trees"])

    def chances() -> Any:
        return DummyClassifier(strategy="prior") if settings["trial"] else LogisticRegression(max_iter=200)

    folds = settings["folds"]
    learners: dict[str, Any] = {
        "s": SLearner(overall_model=trees()),
        "t": TLearner(models=trees()),
        "x": XLearner(models=trees(), cate_models=trees(), propensity_model=chances()),
        "r": NonParamDML(
            model_y=trees(), model_t=chances(), model_final=trees(), discrete_treatment=True, cv=folds, random_state=1
        ),
        "dr": DRLearner(
            model_propensity=chances(), model_regression=trees(), model_final=trees(), cv=folds, min_propensity=0.01,
            random_state=1,
        ),
    }  # fmt: skip
    offers = sorted(set(arm.tolist()) - {0})
    if len(offers) > 1:
        del learners["r"]
    seconds, found = {}, {}
    for name, learner in learners.items():
        begun = time.monotonic()
        learner.fit(y, arm, X=x)
        found[name] = np.column_stack([learner.effect(judge, T0=0, T1=offer).ravel() for offer in offers])
        seconds[name] = time.monotonic() - begun
    pq.write_table(pa.table({name: list(values) for name, values in found.items()}), folder / "peer.parquet")
    (folder / "peer.json").write_text(json.dumps(seconds), encoding="utf-8")


if __name__ == "__main__":
    main()
