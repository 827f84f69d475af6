"""Brings the trainer to Spark's executors: one Horovod rank a task."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyspark import SparkContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import DeepSettings
from offerlake.deep.data import Span, shares
from offerlake.deep.encode import learn
from offerlake.deep.score import DeepModel
from offerlake.errors import EnvironmentProblem
from offerlake.windows import TimeSplit, midnight, part_of

if TYPE_CHECKING:
    from offerlake.deep.train import Task, Trained

_RECIPE = "Install offerlake[deep] with a C++ compiler there, see docs/deep.md; or set deep.enabled=false."


def fit(
    examples: DataFrame,
    *,
    settings: DeepSettings,
    label: str,
    split: TimeSplit,
    seed: int,
    folds: int,
    checkpoints: str,
) -> tuple[DeepModel, tuple[tuple[float, ...], ...]]:
    """Trains the deep model on the rows before `split.validation_from`.

    Args:
        examples: One Delta version of the table, nothing but read: the ranks read its files themselves.
        settings: The section `deep`.
        label: Column of the label.
        split: What is learnt from, and which later days choose the epoch.
        seed: Of folds, weights and shuffling.
        folds: Networks, each for the users the others learnt from.
        checkpoints: Qualified URI of a folder that driver and executors reach; a killed training goes on from it.

    Returns:
        The model, and the log loss on validation by fold and epoch.

    Raises:
        EnvironmentProblem: torch or Horovod is missing, there are too few slots, or a rank died.
        DataError: There are no rows to learn from or to validate on.
    """
    check_installed()
    from offerlake.deep.train import Task

    training = part_of(split, shown=F.col("shown_date"), label_end=F.col("label_end")) == "train"
    encoding = learn(examples.where(training), vocabulary=settings.vocabulary)
    turn = midnight(split.validation_from)
    task = Task(
        shards=tuple(tuple(share) for share in shares(examples, shards=settings.processes)),
        encoding=encoding,
        label=label,
        train=Span(None, turn),
        validation=Span(turn, None if split.test_from is None else midnight(split.test_from)),
        seed=seed,
        folds=folds,
        settings=settings,
    )
    trained = run(examples.sparkSession.sparkContext, task, checkpoints)
    model = DeepModel(encoding, label, seed, folds, settings, trained.weights)
    return model, trained.losses


def check_installed() -> None:
    """Makes sure that training can start here.

    Raises:
        EnvironmentProblem: torch is missing, or Horovod is missing or was built without torch or Gloo.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(f"torch cannot be imported: {error}", fix=_RECIPE) from None
    try:
        import horovod.torch as hvd
    except ImportError as error:
        raise EnvironmentProblem(f"Horovod is not built for torch: {error}", fix=_RECIPE) from None
    if not hvd.gloo_built():
        raise EnvironmentProblem("Horovod was built without Gloo", fix=f"Set HOROVOD_WITH_GLOO=1. {_RECIPE}")


def run(context: SparkContext, task: Task, checkpoints: str) -> Trained:
    """Runs the trainer on one process a shard; a single one in this process, without Spark tasks.

    Raises:
        EnvironmentProblem: There are too few slots, the ranks did not start in time, or one died.
    """
    from offerlake.deep.train import train

    processes, patience = len(task.shards), task.settings.start_timeout
    if processes == 1:
        trained = train(task, checkpoints)
    else:
        import horovod.spark
        from horovod.runner.common.util.timeout import TimeoutException

        check_slots(context, processes, patience=patience)
        told = io.StringIO()
        try:
            with _signals_kept():
                results = horovod.spark.run(
                    train,
                    args=(task, checkpoints),
                    num_proc=processes,
                    start_timeout=patience,
                    use_gloo=True,
                    # The ranks' lines are for an error's message; stdout belongs to the command line.
                    stdout=told,
                    stderr=told,
                    executable=context.pythonExec,
                    verbose=0,
                )
        except TimeoutException as error:
            raise EnvironmentProblem(
                f"the {processes} training processes did not start within {patience} s: {error}",
                fix="Free slots on the cluster, or raise deep.start_timeout.",
            ) from None
        except RuntimeError as error:
            raise EnvironmentProblem(
                f"a training process died: {_last_lines(told.getvalue()) or error}",
                fix="Mend what it says and run again: training goes on after the last finished epoch.",
            ) from error
        trained = next(result for result in results if result is not None)
    assert trained is not None  # rank 0 returns it
    return trained


def check_slots(context: SparkContext, processes: int, *, patience: int) -> None:
    """Waits until Spark can run all ranks at once: with fewer slots they would wait for each other for ever.

    Args:
        context: The running application's.
        processes: Ranks.
        patience: Seconds that executors may take to come; a local master has all of its own at once.

    Raises:
        EnvironmentProblem: There are too few.
    """
    configuration = context.getConf()
    if configuration.get("spark.dynamicAllocation.enabled", "false") == "true":
        return  # executors come when the tasks ask for them; start_timeout guards it
    end = time.monotonic() + (0 if (context.master or "").startswith("local[") else patience)
    while (slots := _slots(context)) < processes:
        if time.monotonic() >= end:
            raise EnvironmentProblem(
                f"deep.processes: got {processes}, Spark at {context.master} can run {slots} tasks at once",
                fix=f"Set deep.processes to at most {slots}, or give Spark more executors or cores.",
            )
        time.sleep(1)


def _slots(context: SparkContext) -> int:
    """Tasks that can run at once, by cores and other resources, as Spark counts them for barrier stages."""
    scala: Any = context._jsc.sc()  # noqa: SLF001  Python's own API does not tell
    return int(scala.maxNumConcurrentTasks(scala.resourceProfileManager().defaultResourceProfile()))


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Horovod takes SIGINT and SIGTERM for itself and never gives them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return os.linesep.join(lines[-8:])[-1500:]
