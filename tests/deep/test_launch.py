"""Horovod's ranks in Spark: two of them do what one does; and what is said when they cannot start."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pyspark.sql import DataFrame, SparkSession
from safetensors.torch import load

from deep.planted import TURN
from offerlake.config import Settings
from offerlake.deep.data import shares
from offerlake.deep.launch import check_installed, check_slots, fit, run
from offerlake.deep.train import Task, train
from offerlake.errors import EnvironmentProblem
from offerlake.windows import TimeSplit


@pytest.mark.processes
def test_two_processes_train_what_one_trains_on_the_same_steps(
    spark: SparkSession, task: Task, examples: DataFrame, tmp_path: Path
) -> None:
    dealt = tuple(tuple(share) for share in shares(examples, shards=2))
    both = replace(task, shards=dealt, settings=task.settings.model_copy(update={"epochs": 2, "batch": 32}))
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    two = run(spark.sparkContext, both, f"file:{tmp_path}/two")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    one = train(both, f"file:{tmp_path}/one")
    assert one is not None
    assert [len(losses) for losses in two.losses] == [2, 2]
    assert two.losses == tuple(pytest.approx(losses, abs=1e-6) for losses in one.losses)
    weights, expected = load(two.weights), load(one.weights)
    assert weights.keys() == expected.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, expected[name], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("missing", ["torch", "horovod.torch"])
def test_what_is_not_installed_is_named_with_the_fix(
    missing: str, examples: DataFrame, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EnvironmentProblem, match="torch") as caught:
        fit(
            examples,
            settings=settings.deep,
            label="responded",
            split=TimeSplit(TURN.date(), None),
            seed=7,
            folds=2,
            checkpoints=f"file:{tmp_path}",
        )
    assert "offerlake[deep]" in caught.value.fix
    assert "deep.enabled=false" in caught.value.fix


def test_horovod_without_gloo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr("horovod.torch.gloo_built", lambda: False)
    with pytest.raises(EnvironmentProblem, match="without Gloo"):
        check_installed()


def test_more_processes_than_slots_are_refused_before_they_wait_for_each_other(spark: SparkSession) -> None:
    check_slots(spark.sparkContext, 2, patience=60)
    with pytest.raises(EnvironmentProblem, match=r"deep.processes: got 3, Spark at local\[2\] can run 2") as caught:
        check_slots(spark.sparkContext, 3, patience=60)
    assert "at most 2" in caught.value.fix
