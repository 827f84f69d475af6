"""The trainer: the loop, the ranks and the checkpoints. World size 1 is the same code.

One network a fold of users, which learns from the users of the other folds. Everything is set by the task: its seed,
its shards, its epochs; a process that is killed and started again goes on after the last epoch that had ended.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import horovod.torch as hvd
import torch
from horovod.spark.task import get_available_devices
from pyarrow import fs
from safetensors.torch import save
from torch import Tensor, nn

from offerlake.config import DeepSettings
from offerlake.deep.data import Piece, Rows, Span, filesystem, orders, read
from offerlake.deep.encode import Encoding
from offerlake.deep.models.mlp import Mlp
from offerlake.errors import DataError

_VALIDATION_BATCH = 65_536  # rows whose activations are in memory at once
_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_FEWEST_STEPS = 30  # an epoch: with little data the batches are smaller, else nothing is learnt
_T = TypeVar("_T")


@dataclass(frozen=True)
class Task:
    """All that a rank needs.

    Attributes:
        shards: What each rank of the largest world reads.
        encoding: Learnt on the rows of `train`.
        label: Column of the label, 0 or 1.
        train: Rows that are learnt from.
        validation: Later rows, which choose the epoch.
        seed: Of the folds, the first weights and the shuffling.
        folds: Networks; network k never sees a user of fold k.
        settings: The section `deep`.
    """

    shards: tuple[tuple[Piece, ...], ...]
    encoding: Encoding
    label: str
    train: Span
    validation: Span
    seed: int
    folds: int
    settings: DeepSettings

    @property
    def fingerprint(self) -> str:
        """16 hex digits: two tasks with the same would make the same networks."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Trained:
    """Weights of all folds as safetensors, names as `fold.parameter`; log loss on validation by fold and epoch."""

    weights: bytes
    losses: tuple[tuple[float, ...], ...]


@dataclass
class _Progress:
    """What a checkpoint holds of one fold: everything that the next epoch depends on."""

    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    best: dict[str, Tensor]
    losses: list[float]


def train(task: Task, checkpoints: str) -> Trained | None:
    """Runs one rank. All ranks of the world call it; rank 0 returns the result, the others None.

    Args:
        task: The same on every rank.
        checkpoints: URI of a folder all ranks can reach; rank 0 writes.

    Raises:
        DataError: A fold has no rows to learn from or to validate on.
    """
    hvd.init()
    try:
        with _repeatable():
            return _train(task, f"{checkpoints}/{task.fingerprint}")
    finally:
        hvd.shutdown()


def _train(task: Task, folder: str) -> Trained | None:
    if len(task.shards) % hvd.size():
        raise DataError(f"{len(task.shards)} shards for {hvd.size()} processes", fix="Make it a multiple.")
    device = _device()
    mine = {
        shard: read(
            task.shards[shard],
            spans=[task.train, task.validation],
            encoding=task.encoding,
            label=task.label,
            fold_seed=task.seed,
            folds=task.folds,
        )
        for shard in range(hvd.rank(), len(task.shards), hvd.size())
    }
    tensors: dict[str, Tensor] = {}
    losses = []
    for fold in range(task.folds):
        learning = {shard: _Shard(rows[0], fold, device) for shard, rows in mine.items()}
        judging = {shard: _Shard(rows[1], fold, device) for shard, rows in mine.items()}
        done = _fit(task, fold, learning, judging, device=device, path=f"{folder}/fold{fold}.pt")
        tensors |= {f"{fold}.{name}": tensor.contiguous() for name, tensor in done.best.items()}
        losses.append(tuple(done.losses))
    return Trained(weights=save(tensors), losses=tuple(losses)) if hvd.rank() == 0 else None


class _Shard:
    """Rows of a shard that a fold's network may see, on the device."""

    def __init__(self, rows: Rows, fold: int, device: torch.device) -> None:
        seen = rows.folds != fold
        self.numbers = torch.from_numpy(rows.numbers[seen]).to(device)
        self.codes = torch.from_numpy(rows.codes[seen]).to(device)
        self.labels = torch.from_numpy(rows.labels[seen]).to(device)

    def __len__(self) -> int:
        return len(self.labels)


def _fit(
    task: Task, fold: int, learning: dict[int, _Shard], judging: dict[int, _Shard], *, device: torch.device, path: str
) -> _Progress:
    """Trains one fold's network until it stops getting better on later days, or for all epochs."""
    settings = task.settings
    fewest = min(_by_shard({shard: len(rows) for shard, rows in learning.items()}))
    if fewest == 0:
        raise DataError(f"examples: fold {fold} has no training rows", fix="It needs more users, or fewer processes.")
    batch = min(settings.batch, max(1, fewest // _FEWEST_STEPS))
    network = new_network(task.encoding, settings, seed=task.seed + fold).to(device)
    # The learning rate grows with the rows of a step (Goyal et al. 2017); one group makes one deterministic allreduce.
    adam = torch.optim.Adam(network.parameters(), lr=settings.rate * len(task.shards))
    optimizer = hvd.DistributedOptimizer(adam, named_parameters=network.named_parameters(), groups=1)
    hvd.broadcast_parameters(network.state_dict(), root_rank=0)
    done = _resumed(path)
    if done is None:
        done = _Progress(_copy(network), {}, _copy(network), [])
    else:
        network.load_state_dict(done.network)
        optimizer.load_state_dict(done.optimizer)
    while len(done.losses) < settings.epochs and (not done.losses or done.losses[-1] == min(done.losses)):
        seed = (task.seed, fold, len(done.losses))
        sizes = {shard: len(rows) for shard, rows in learning.items()}
        for chosen in orders(sizes, batch=batch, steps=fewest // batch, seed=seed):
            _step(network, optimizer, learning, {s: torch.from_numpy(index) for s, index in chosen.items()})
        loss = _log_loss(network, judging)
        best = _copy(network) if not done.losses or loss < min(done.losses) else done.best
        done = _Progress(_copy(network), optimizer.state_dict(), best, [*done.losses, loss])
        if hvd.rank() == 0:
            _save(done, path)
    return done


def new_network(encoding: Encoding, settings: DeepSettings, *, seed: int) -> Mlp:
    """A network with the first weights of a seed."""
    torch.manual_seed(seed)
    return Mlp(width=encoding.width, cards=encoding.cards, embedding=settings.embedding, hidden=list(settings.hidden))


def _step(network: Mlp, optimizer: Any, shards: dict[int, _Shard], chosen: dict[int, Tensor]) -> None:
    parts = [(shards[s].numbers[index], shards[s].codes[index], shards[s].labels[index]) for s, index in chosen.items()]
    numbers, codes, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    optimizer.zero_grad()
    # Every shard gives as many rows, so the mean over ranks of these means is the mean over the step's rows.
    loss = nn.functional.binary_cross_entropy_with_logits(network(numbers, codes), labels)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def _log_loss(network: Mlp, shards: dict[int, _Shard]) -> float:
    """Mean of −y·log p − (1 − y)·log(1 − p) over all ranks' rows, in an order that is the same in any world."""
    sums = {}
    for shard, rows in shards.items():
        total = 0.0
        for at in range(0, len(rows), _VALIDATION_BATCH):
            chunk = slice(at, at + _VALIDATION_BATCH)
            logits = network(rows.numbers[chunk], rows.codes[chunk]).double()
            losses = nn.functional.binary_cross_entropy_with_logits(
                logits, rows.labels[chunk].double(), reduction="sum"
            )
            total += float(losses)
        sums[shard] = (total, len(rows))
    gathered = _by_shard(sums)
    rows_judged = sum(count for _, count in gathered)
    if rows_judged == 0:
        raise DataError("examples: a fold has no validation rows", fix="Raise response.validation_share.")
    return sum(total for total, _ in gathered) / rows_judged


def _by_shard(local: dict[int, _T]) -> list[_T]:
    """What every rank knows of its shards, from all ranks, in the order of the shards."""
    merged: dict[int, _T] = {}
    for part in hvd.allgather_object(local):
        merged |= part
    return [merged[shard] for shard in sorted(merged)]


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _save(done: _Progress, path: str) -> None:
    """Writes under another name, then renames, so that a kill leaves the epoch before."""
    buffer = io.BytesIO()
    torch.save(vars(done), buffer)
    system, target = filesystem(path)
    system.create_dir(target.rpartition("/")[0], recursive=True)
    with system.open_output_stream(f"{target}.part") as stream:
        stream.write(buffer.getvalue())
    system.move(f"{target}.part", target)


def _resumed(path: str) -> _Progress | None:
    """The checkpoint as rank 0 reads it, on every rank; None without one."""
    content = None
    if hvd.rank() == 0:
        system, target = filesystem(path)
        if system.get_file_info(target).type == fs.FileType.File:
            with system.open_input_stream(target) as stream:
                content = stream.read()
    content = hvd.broadcast_object(content, root_rank=0)
    if content is None:
        return None
    # On the CPU first: whoever wrote it may have had another GPU, or none. `load_state_dict` moves it.
    return _Progress(**torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))


def _device() -> torch.device:
    """The GPU that Spark gave the task, else the rank's own on its host, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    given = get_available_devices()
    return torch.device("cuda", int(given[0]) if given else hvd.local_rank() % torch.cuda.device_count())


@contextmanager
def _repeatable() -> Iterator[None]:
    """One thread a rank, and on a GPU deterministic kernels; puts back what was, for a rank in the driver's process.

    One thread is what a CPU needs; there torch's switch would only load its compiler, seconds a rank. On a GPU torch
    multiplies matrices deterministically only where cuBLAS's workspace is set before the first one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _deterministic_kernels() if torch.cuda.is_available() else nullcontext():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _deterministic_kernels() -> Iterator[None]:
    strict, workspace = torch.are_deterministic_algorithms_enabled(), os.environ.get(_CUBLAS_WORKSPACE)
    torch.use_deterministic_algorithms(mode=True)
    os.environ[_CUBLAS_WORKSPACE] = ":4096:8"
    try:
        yield
    finally:
        os.environ.pop(_CUBLAS_WORKSPACE)
        if workspace is not None:
            os.environ[_CUBLAS_WORKSPACE] = workspace
        torch.use_deterministic_algorithms(mode=strict)
