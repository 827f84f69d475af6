"""`offerlake rank-eval` on files: Spark's documentation example, slices, and what is wrong with a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from offerlake.cli import app

SHOWN = {"u": [1, 6, 2, 7, 8, 3, 9, 10, 4, 5], "v": [4, 1, 5, 6, 2, 7, 3, 8, 9, 10], "w": [1, 2, 3, 4, 5]}
BOUGHT = {"u": [1, 2, 3, 4, 5], "v": [1, 2, 3]}


def rank_eval(*arguments: str, expect: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["rank-eval", *arguments, "--json", "--set", "evaluate.bootstrap=20"])
    assert done.exit_code == expect, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def table(rows: Sequence[tuple[Any, ...]], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*columns])


@pytest.fixture
def shown(tmp_path: Path) -> str:
    rows = [(user, str(name), place) for user, names in SHOWN.items() for place, name in enumerate(names, start=1)]
    table(rows, "user_id", "product_id", "rank").to_parquet(tmp_path / "shown.parquet")
    return str(tmp_path / "shown.parquet")


@pytest.fixture
def bought(tmp_path: Path) -> str:
    rows = [(user, str(name)) for user, names in BOUGHT.items() for name in names]
    table(rows, "user_id", "product_id").to_csv(tmp_path / "bought.csv", index=False)
    return str(tmp_path / "bought.csv")


def test_the_example_of_spark_with_its_convention_and_ours(spark: SparkSession, shown: str, bought: str) -> None:
    spark_s = rank_eval("--recommendations", shown, "--truth", bought, "--k", "15,5", "--count-empty-truth")
    ours = rank_eval("--recommendations", shown, "--truth", bought, "--k", "5,15")

    assert (spark_s["users"], ours["users"], ours["users_without_truth"]) == (3, 2, 1)
    expected = {"precision@5": 0.8 / 3, "recall@15": 2 / 3, "map@15": 0.355026, "ndcg@5": 0.328788}
    assert {name: spark_s[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert {name: ours[name] * 2 / 3 for name in expected} == pytest.approx(expected, abs=1e-6)
    assert ours["ndcg@5_low"] <= ours["ndcg@5"] <= ours["ndcg@5_high"]


def test_slices_and_what_is_beside_accuracy(spark: SparkSession, shown: str, bought: str, tmp_path: Path) -> None:
    beside = {
        "history": table([("u", "1"), ("x", "1"), ("x", "4")], "user_id", "product_id"),
        "products": table([(str(k), "odd" if k % 2 else "even") for k in range(1, 21)], "product_id", "category"),
        "segments": table([("u", "loyal"), ("v", "new"), ("w", "new")], "user_id", "segment"),
    }
    options = []
    for name, frame in beside.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
        options += [f"--{name}", str(tmp_path / f"{name}.parquet")]

    found = rank_eval("--recommendations", shown, "--truth", bought, "--k", "1", *options)

    assert {name: part["users"] for name, part in found["segments"].items()} == {"loyal": 1, "new": 1}
    assert (found["segments"]["loyal"]["precision@1"], found["segments"]["new"]["precision@1"]) == (1, 0)
    assert (found["cold"]["users"], found["cold"]["precision@1"]) == (1, 0), "v had nothing before"
    assert found["coverage@1"] == 2 / 20, "w is not judged"
    assert found["popularity@1"] == (1 + 0.5) / 2, "1 and 4, of u and x"
    assert found["popularity_truth"] == pytest.approx((1.5 / 5 + 1 / 3) / 2)


def test_users_of_the_truth_alone_count_zero_and_scores_may_be_missing(spark: SparkSession, tmp_path: Path) -> None:
    scores = [("u", "a", None), ("u", "b", float("nan")), ("u", "c", 0.5), ("u", "c", 0.1)]
    table(scores, "user_id", "product_id", "score").to_parquet(tmp_path / "s.parquet")
    (tmp_path / "t.jsonl").write_text('{"user_id": 7, "product_id": "a"}\n{"user_id": "u", "product_id": "c"}\n')

    found = rank_eval("--recommendations", f"{tmp_path}/s.parquet", "--truth", f"{tmp_path}/t.jsonl", "--k", "1,1000")

    assert (found["users"], found["users_without_recommendations"], found["mrr"]) == (2, 1, 0.5)
    assert found["precision@1000"] == 1 / 2000


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("user_id,product_id,rang\nu,a,1\n", "DataError", "has neither rank nor score"),
        ("user_id,item,rank\nu,a,1\n", "DataError", "has no column product_id"),
        ("user_id,product_id,rank\nu,a,first\n", "DataError", "rank is no int in 1 rows, such as 'first'"),
        ("user_id,product_id,rank\n,a,1\n", "DataError", "user_id is missing in 1 rows"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(
    spark: SparkSession, bought: str, tmp_path: Path, text: str, kind: str, message: str
) -> None:
    (tmp_path / "bad.csv").write_text(text)
    error = rank_eval("--recommendations", f"{tmp_path}/bad.csv", "--truth", bought, expect=1)["error"]
    assert error["kind"] == kind
    assert message in error["message"]


def test_wrong_options_and_files_that_are_none(spark: SparkSession, shown: str, bought: str, tmp_path: Path) -> None:
    both = ("--recommendations", shown, "--truth", bought)
    assert "--k: got '0,5'" in rank_eval(*both, "--k", "0,5", expect=2)["error"]["message"]
    gone = rank_eval("--recommendations", "gone.parquet", "--truth", bought, expect=2)["error"]["message"]
    assert gone == "--recommendations: gone.parquet does not exist"
    (tmp_path / "none.parquet").write_text("no Parquet")
    assert (
        "cannot be read as parquet"
        in (rank_eval("--recommendations", f"{tmp_path}/none.parquet", "--truth", bought, expect=1)["error"]["message"])
    )
    (tmp_path / "empty.csv").write_text("user_id,product_id\n")
    empty = rank_eval("--recommendations", shown, "--truth", f"{tmp_path}/empty.csv", expect=1)["error"]["message"]
    assert empty == "truth: no user has an item in it"
