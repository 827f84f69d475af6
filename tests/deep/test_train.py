"""The trainer in a world of one: it learns, repeats itself, and goes on after a kill."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from deep.planted import TURN, USERS, true_probability
from offerlake.accuracy import accuracy
from offerlake.deep.score import DeepModel, score
from offerlake.deep.train import Task, Trained, _Progress, _resumed, _save, train
from offerlake.errors import DataError

KILLED_AFTER_THREE_EPOCHS = """
import os, pickle, sys
from offerlake.deep import train as trainer
save, saved = trainer._save, []
def save_and_die(done, path):
    save(done, path)
    saved.append(path)
    if len(saved) == 3:
        os._exit(9)
trainer._save = save_and_die
trainer.train(pickle.loads(open(sys.argv[1], "rb").read()), sys.argv[2])
"""


def trained(task: Task, folder: Path) -> Trained:
    result = train(task, f"file:{folder}")
    assert result is not None
    return result


def test_learns_a_number_and_an_interaction(task: Task, examples: DataFrame, tmp_path: Path) -> None:
    result = trained(task, tmp_path)
    assert all(losses[0] > min(losses) for losses in result.losses)
    model = DeepModel(task.encoding, task.label, task.seed, task.folds, task.settings, result.weights)
    later = score(examples.where(F.col("shown_date") >= F.lit(TURN.date())), model).withColumn(
        "truth", true_probability()
    )
    best = accuracy(later, probability="truth", label="responded", seed=1)
    found = accuracy(later, probability="p_deep", label="responded", seed=1)
    assert found.rows == USERS
    assert best.auc is not None
    assert found.auc is not None
    assert best.auc > 0.75
    assert found.auc > best.auc - 0.04
    assert found.log_loss is not None
    assert found.log_loss < (best.log_loss or 0) + 0.05


def test_the_same_task_gives_the_same_weights_and_another_seed_others(task: Task, tmp_path: Path) -> None:
    quick = replace(task, settings=task.settings.model_copy(update={"epochs": 1}))
    assert trained(quick, tmp_path / "a") == trained(quick, tmp_path / "b")
    other = replace(quick, seed=8)
    assert other.fingerprint != quick.fingerprint
    assert trained(other, tmp_path / "c").weights != trained(quick, tmp_path / "a").weights


def test_a_killed_training_goes_on_to_the_same_weights(task: Task, tmp_path: Path) -> None:
    whole = trained(task, tmp_path / "whole")
    (tmp_path / "task").write_bytes(pickle.dumps(task))
    arguments = [str(tmp_path / "task"), f"file:{tmp_path}/killed"]
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_THREE_EPOCHS, *arguments], check=False)
    assert killed.returncode == 9
    left = sorted(path.name for path in (tmp_path / "killed" / task.fingerprint).iterdir())
    assert left == ["fold0.pt"]
    assert trained(task, tmp_path / "killed") == whole


def test_what_a_gpu_wrote_goes_on_on_another_or_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file says on which device each tensor lay; here one says that of a second GPU."""
    alone = SimpleNamespace(rank=lambda: 0, broadcast_object=lambda content, **_: content)
    monkeypatch.setattr("offerlake.deep.train.hvd", alone)
    path = f"file:{tmp_path}/fold0.pt"
    weights = {"w": torch.arange(3.0)}
    _save(_Progress(weights, {"state": {0: {"exp_avg": torch.ones(3)}}}, weights, [0.5]), path)
    here = tmp_path / "fold0.pt"
    with zipfile.ZipFile(here) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(here, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:1"))
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(here, weights_only=True)

    found = _resumed(path)

    assert found is not None
    torch.testing.assert_close(found.network["w"], weights["w"])
    assert found.optimizer["state"][0]["exp_avg"].device == torch.device("cpu")


def test_a_rank_is_repeatable_on_a_gpu_too_and_puts_back_what_was(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the driver's process and in Horovod's alike: torch refuses to multiply on CUDA without the workspace."""
    name, seen = "CUBLAS_WORKSPACE_CONFIG", []

    def ranked(_: Task, folder: str) -> Trained:
        seen.append((os.environ.get(name), torch.are_deterministic_algorithms_enabled()))
        return Trained(folder.encode(), ())

    monkeypatch.setattr("offerlake.deep.train._train", ranked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for before in (None, ":0:0"):
        monkeypatch.delenv(name, raising=False)
        if before is not None:
            monkeypatch.setenv(name, before)
        trained(task, tmp_path)
        assert (os.environ.get(name), torch.are_deterministic_algorithms_enabled()) == (before, False)
    assert seen == [(":4096:8", True)] * 2


def test_training_stops_after_an_epoch_without_gain(task: Task, tmp_path: Path) -> None:
    hasty = replace(task, settings=task.settings.model_copy(update={"epochs": 30, "rate": 0.05}))
    for losses in trained(hasty, tmp_path).losses:
        assert len(losses) < 30
        assert losses[-1] > min(losses) == losses[-2]


def test_no_rows_is_an_error_that_names_them(task: Task, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fold 0 has no training rows"):
        train(replace(task, train=task.validation, validation=task.train, shards=((),)), f"file:{tmp_path}")
    with pytest.raises(DataError, match="no validation rows"):
        train(replace(task, validation=replace(task.validation, begin=TURN.replace(year=2026))), f"file:{tmp_path}")
