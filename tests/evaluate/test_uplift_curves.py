"""`offerlake uplift-eval`: its numbers against plain loops, known effects and identities; what is wrong with a file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from offerlake.cli import app
from offerlake.evaluate import uplift_curves
from offerlake.evaluate.uplift_curves import SHARES, _groups, _Weights, judge

Doubles = npt.NDArray[np.float64]


def trial(*, rows: int = 3000, seed: int = 1, levels: int | None = None, binary: bool = True) -> pd.DataFrame:
    """A trial with unequal propensities that depend on what decides the effect; `effect` is the true one."""
    random = np.random.default_rng(seed)
    x = random.random(rows)
    chance = 0.2 + 0.6 * x  # whoever gains is treated more often
    treatment = (random.random(rows) < chance).astype(int)
    effect = 0.3 * x - 0.05
    base = 0.3 - 0.1 * x
    mean = base + treatment * effect
    outcome = (random.random(rows) < mean).astype(float) if binary else mean + random.normal(0, 0.2, rows)
    score = x if levels is None else np.floor(x * levels)
    return pd.DataFrame(
        {
            "score": score,
            "treatment": treatment,
            "outcome": outcome,
            "propensity": np.where(treatment == 1, chance, 1 - chance),
            "mu0": base,
            "mu1": base + effect,
            "effect": effect,
        }
    )


def curve(score: Doubles, gamma: Doubles) -> tuple[float, float, dict[float, float]]:
    """auuc, qini and uplift at k by sorting: each row of a score stands for the mean of its likes."""
    order = np.argsort(-score, kind="stable")
    shared = pd.Series(gamma).groupby(score).transform("mean").to_numpy()[order]
    q = np.concatenate([[0], np.cumsum(shared)]) / len(score)
    share = np.arange(len(q)) / len(score)
    auuc = float(np.trapezoid(q, share))
    return auuc, auuc - q[-1] / 2, {k: float(np.interp(k, share, q) / k) for k in SHARES}


def gamma_of(frame: pd.DataFrame, *, mu0: Any, mu1: Any) -> Doubles:
    """The doubly robust score, as its definition has it."""
    t, y = frame["treatment"], frame["outcome"]
    e = np.where(t == 1, frame["propensity"], 1 - frame["propensity"])
    return np.asarray(t * (y - mu1) / e - (1 - t) * (y - mu0) / (1 - e) + mu1 - mu0, dtype=float)


def scikit_uplift(frame: pd.DataFrame, score: Doubles) -> float:
    """The area between the curve and its chord, by cumulated counts at the end of each score."""
    order = np.argsort(-score, kind="stable")
    t, y, s = frame["treatment"].to_numpy()[order], frame["outcome"].to_numpy()[order], score[order]
    ends = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)
    treated, all_rows = np.cumsum(t)[ends], ends + 1
    others = all_rows - treated
    ratio = np.divide(treated, others, out=np.zeros(len(ends)), where=others > 0)
    g = np.concatenate([[0], np.cumsum(y * t)[ends] - np.cumsum(y * (1 - t))[ends] * ratio])
    return float(np.trapezoid(g, np.concatenate([[0], all_rows])) - len(s) * g[-1] / 2)


@pytest.mark.parametrize("levels", [None, 7, 1])
def test_it_is_what_sorting_gives(spark: SparkSession, levels: int | None) -> None:
    frame = trial(levels=levels)
    rows = spark.createDataFrame(frame.drop(columns=["mu0", "mu1", "effect"]))

    found = judge(rows, samples=20, seed=3)
    again = judge(rows.repartition(7), samples=20, seed=3)

    y = frame.groupby("treatment")["outcome"].mean()
    gamma = gamma_of(frame, mu0=y[0], mu1=y[1])
    auuc, qini, uplift = curve(frame["score"].to_numpy(), gamma)
    assert found["auuc"] == pytest.approx(auuc)
    assert found["qini"] == pytest.approx(qini, abs=1e-12)
    assert [found[f"uplift_at_{k:.0%}".replace("%", "pct")] for k in SHARES] == pytest.approx([*uplift.values()])
    assert found["ate"] == pytest.approx(gamma.mean())
    assert found["ate_se"] == pytest.approx(gamma.std(ddof=1) / math.sqrt(len(gamma)))
    above = scikit_uplift(frame, frame["score"].to_numpy())
    perfect = frame["outcome"] * (2 * frame["treatment"] - 1)
    assert found["qini_sklift"] == pytest.approx(above / scikit_uplift(frame, perfect.to_numpy(float)), abs=1e-9)
    treated = frame["treatment"].sum()
    assert found["qini_radcliffe"] == pytest.approx(above / (len(frame) * treated), abs=1e-12)
    assert (found["n"], found["treated"], found["clusters"]) == (len(frame), treated, len(frame))
    plain = {name for name in found if not name.endswith(("_low", "_high"))}
    assert {name: again[name] for name in plain} == pytest.approx({name: found[name] for name in plain}, abs=1e-12)


def test_intervals_cover_what_is_true_and_a_score_without_order_has_none(spark: SparkSession) -> None:
    frame = trial(rows=20_000, seed=4, binary=False)
    frame["chance"] = np.random.default_rng(9).random(len(frame))
    columns = ["treatment", "outcome", "propensity", "mu0", "mu1"]
    right = judge(spark.createDataFrame(frame[["score", *columns]]), samples=200, seed=3)
    blind = judge(
        spark.createDataFrame(frame[["chance", *columns]].rename(columns={"chance": "score"})), samples=100, seed=3
    )

    auuc, qini, uplift = curve(frame["score"].to_numpy(), frame["effect"].to_numpy())
    assert right["qini_low"] < qini < right["qini_high"]
    assert right["auuc_low"] < auuc < right["auuc_high"]
    assert right["uplift_at_10pct_low"] < uplift[0.1] < right["uplift_at_10pct_high"]
    assert right["ate_low"] < frame["effect"].mean() < right["ate_high"]
    assert right["qini_low"] > 0
    assert blind["qini_low"] < 0 < blind["qini_high"]
    assert right["ate_high"] - right["ate_low"] == pytest.approx(2 * 1.96 * right["ate_se"], rel=0.3)
    assert right["qini_sklift"] is None, "outcomes are not 0 and 1"
    naive = frame[frame["treatment"] == 1]["outcome"].mean() - frame[frame["treatment"] == 0]["outcome"].mean()
    assert not right["ate_low"] < naive < right["ate_high"], "the propensities matter here"


def test_rows_of_a_user_are_drawn_together(spark: SparkSession) -> None:
    """Twice the same rows tell no more than once."""
    frame = trial(rows=600).drop(columns=["mu0", "mu1", "effect"])
    frame["cluster"] = [f"u{i}" for i in range(len(frame))]
    once = judge(spark.createDataFrame(frame), samples=50, seed=3)

    twice = judge(spark.createDataFrame(pd.concat([frame, frame])), samples=50, seed=3)

    assert (twice["n"], twice["clusters"]) == (2 * once["n"], once["clusters"])
    same = [name for name in once if name not in {"n", "treated", "clusters"}]
    assert {name: twice[name] for name in same} == pytest.approx({name: once[name] for name in same}, abs=1e-12)


@given(
    scores=st.lists(st.integers(0, 3), min_size=1, max_size=30), chunk=st.integers(1, 200), samples=st.integers(0, 9)
)
@settings(max_examples=60, deadline=None)
def test_scores_stay_whole_whatever_the_pieces(scores: list[int], chunk: int, samples: int) -> None:
    ordered = np.sort(np.array(scores, dtype=float))[::-1]
    gamma, keys = np.arange(len(scores), dtype=float), np.arange(len(scores)) * 7
    partition = pa.table({"score": ordered, "gamma": gamma, "key": keys})
    weights = _Weights(samples, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uplift_curves, "_CHUNK", chunk)
        parts = [*_groups(partition, weights)]

    drawn = weights.of(keys)
    members = ordered == np.unique(ordered)[::-1][:, None]
    np.testing.assert_allclose(np.hstack([weight for weight, _ in parts]), drawn @ members.T)
    np.testing.assert_allclose(np.hstack([gain for _, gain in parts]), (drawn * gamma) @ members.T)


def test_weights_are_poisson_and_belong_to_the_key() -> None:
    keys = np.random.default_rng(2).integers(-(2**62), 2**62, 50_000)
    drawn = _Weights(6, seed=11).of(keys)

    assert (drawn[0] == 1).all()
    np.testing.assert_allclose(drawn[1:].mean(axis=1), 1, atol=0.03)
    np.testing.assert_allclose(drawn[1:].var(axis=1), 1, atol=0.04)
    assert np.abs(np.corrcoef(drawn[1:]) - np.eye(6)).max() < 0.03
    np.testing.assert_array_equal(_Weights(6, seed=11).of(keys[::-1].copy())[:, ::-1], drawn)
    assert (_Weights(6, seed=12).of(keys)[1] != drawn[1]).mean() > 0.3


def uplift_eval(*arguments: str, expect: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["uplift-eval", *arguments, "--json", "--set", "evaluate.bootstrap=20"])
    assert done.exit_code == expect, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


NAMES = ("--score", "s", "--treatment", "t", "--outcome", "y")


def test_on_a_file_with_columns_of_any_name(spark: SparkSession, tmp_path: Path) -> None:
    frame = trial(rows=400).rename(columns={"score": "s", "treatment": "t", "outcome": "y", "propensity": "p"})
    frame["who"] = np.arange(400) // 2
    frame.to_parquet(tmp_path / "d.parquet")

    found = uplift_eval("--data", f"{tmp_path}/d.parquet", *NAMES, "--propensity", "p", "--cluster", "who")

    assert {"qini", "qini_low", "qini_high", "auuc", "uplift_at_10pct", "ate", "ate_se", "n"} <= found.keys()
    assert (found["n"], found["clusters"]) == (400, 200)
    assert found["qini_low"] <= found["qini"] <= found["qini_high"]


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("s,t,y\n1,1,0\n2,1,1\n", (), "treatment: no row is without it"),
        ("s,t,y\n1,0,0\n2,2,1\n", (), "treatment: 1 values are out of range"),
        ("s,t,y\n1,0,0\n2,0.5,1\n3,1.0,1\n", (), "treatment: 1 values are out of range"),
        ("s,t,y\n1,0,0\nNaN,1,1\n", (), "score: 1 values are out of range"),
        ("s,t,y,p\n1,0,0,0.5\n2,1,1,1\n", ("--propensity", "p"), "propensity: 1 values are out of range"),
        ("s,t,y,p\n1,0,0,0.5\n2,1,1,\n", ("--propensity", "p"), "p is missing in 1 rows"),
        ("s,t,z\n1,0,0\n", (), "has no column y"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(
    spark: SparkSession, tmp_path: Path, text: str, more: tuple[str, ...], message: str
) -> None:
    (tmp_path / "d.csv").write_text(text)
    error = uplift_eval("--data", f"{tmp_path}/d.csv", *NAMES, *more, expect=1)["error"]
    assert error["kind"] == "DataError"
    assert message in error["message"]


def test_a_column_has_one_part_only(spark: SparkSession) -> None:
    error = uplift_eval("--data", "d.csv", *NAMES, "--mu0", "y", expect=2)["error"]
    assert error["message"] == "--mu0: y is --outcome already"
