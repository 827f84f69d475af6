"""The rows of a pinned Delta snapshot, read from its Parquet files: each shard an equal share of every day.

A shard is what one rank of the largest world trains on; a process of a smaller world takes several. So a step sees the
same rows whatever the number of processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark.sql import DataFrame

from offerlake.deep import keys
from offerlake.deep.encode import CATEGORICAL, NUMERIC, Encoding, encode
from offerlake.errors import DataError

_DAY = re.compile(r"/shown_date=([^/]+)/")


@dataclass(frozen=True)
class Piece:
    """Rows `begin` to `end` (exclusive) of one row group of one file."""

    uri: str
    group: int
    begin: int
    end: int


@dataclass(frozen=True)
class Span:
    """Rows shown in [begin, end) whose label window ends by `end`; None: without a bound."""

    begin: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Rows:
    """Encoded rows: numbers (n, width), codes (n, categories), labels (n,) of 0 and 1, the users' folds (n,)."""

    numbers: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]
    labels: npt.NDArray[np.float32]
    folds: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """File system and path of a URI as Spark and Hadoop write it: `file:/a b`, `s3a://bucket/x`, nothing escaped."""
    scheme, _, rest = uri.partition(":")
    if scheme == "file":
        return fs.LocalFileSystem(), "/" + rest.lstrip("/")
    authority, _, path = rest.removeprefix("//").partition("/")
    system, root = fs.FileSystem.from_uri(f"{'s3' if scheme in ('s3a', 's3n') else scheme}://{authority}/")
    return system, f"{root.rstrip('/')}/{path}"


def shares(examples: DataFrame, *, shards: int) -> list[list[Piece]]:
    """Deals the Parquet files of a frame that reads one Delta version: to every shard as many rows of each day.

    Reads the files' footers only. A shard gets one run of a day's rows, so it reads few row groups that it shares.

    Raises:
        DataError: The files hold other rows than the snapshot: it has deletion vectors.
    """
    uris = sorted(examples.inputFiles(), key=lambda uri: (_day(uri), uri))
    with ThreadPoolExecutor(8) as pool:
        groups = [piece for found in pool.map(_row_groups, uris) for piece in found]
    rows = sum(piece.end for piece in groups)
    if rows != (wanted := examples.count()):
        raise DataError(
            f"examples: its files hold {rows} rows, the table {wanted}: it has deletion vectors",
            fix="Run REORG TABLE … APPLY (PURGE), or build the examples again.",
        )
    dealt: list[list[Piece]] = [[] for _ in range(shards)]
    for turn, (_, same_day) in enumerate(groupby(groups, key=lambda piece: _day(piece.uri))):
        day = list(same_day)
        total = sum(piece.end for piece in day)
        for place in range(shards):
            # The shards take turns at a day's remainder.
            shard = (place + turn) % shards
            dealt[shard] += _cut(day, place * total // shards, (place + 1) * total // shards)
    return dealt


def _day(uri: str) -> str:
    found = _DAY.search(uri)
    return found.group(1) if found else ""


def _row_groups(uri: str) -> list[Piece]:
    system, path = filesystem(uri)
    with system.open_input_file(path) as file:
        footer = pq.ParquetFile(file).metadata
    return [Piece(uri, group, 0, footer.row_group(group).num_rows) for group in range(footer.num_row_groups)]


def _cut(day: Sequence[Piece], begin: int, end: int) -> list[Piece]:
    """The pieces that cover rows `begin` to `end` of a day's row groups, one after the other."""
    found, before = [], 0
    for piece in day:
        low, high = max(begin - before, 0), min(end - before, piece.end)
        if low < high:
            found.append(Piece(piece.uri, piece.group, low, high))
        before += piece.end
    return found


def read(
    pieces: Sequence[Piece],
    *,
    spans: Sequence[Span],
    encoding: Encoding,
    label: str,
    fold_seed: int,
    folds: int,
) -> list[Rows]:
    """Reads one shard, the rows of each span apart, in the order of the files."""
    wanted = [*NUMERIC, *CATEGORICAL, "user_id", "shown_at", "label_end", label]
    parts: list[list[Rows]] = [[] for _ in spans]
    for piece in pieces:
        system, path = filesystem(piece.uri)
        with system.open_input_file(path) as file:
            table = pq.ParquetFile(file).read_row_group(piece.group, columns=wanted, use_threads=False)
        table = table.slice(piece.begin, piece.end - piece.begin)
        for part, span in zip(parts, spans, strict=True):
            inside = table.filter(_inside(table, span))
            numbers, codes = encode(encoding, inside)
            labels = np.asarray(inside.column(label), dtype=np.float32)
            part.append(Rows(numbers, codes, labels, keys.fold(fold_seed, "fold", folds, inside.column("user_id"))))
    return [_joined(part, encoding) for part in parts]


def _inside(table: pa.Table, span: Span) -> pa.ChunkedArray:
    shown, label_end = table.column("shown_at"), table.column("label_end")
    mask = pc.is_valid(shown)
    if span.begin is not None:
        mask = pc.and_(mask, pc.greater_equal(shown, pa.scalar(span.begin, type=shown.type)))
    if span.end is not None:
        end = pa.scalar(span.end, type=shown.type)
        mask = pc.and_(mask, pc.and_(pc.less(shown, end), pc.less_equal(label_end, end)))
    return mask


def _joined(parts: Sequence[Rows], encoding: Encoding) -> Rows:
    empty = Rows(
        np.empty((0, encoding.width), np.float32),
        np.empty((0, len(CATEGORICAL)), np.int32),
        np.empty(0, np.float32),
        np.empty(0, np.int32),
    )
    all_parts = [empty, *parts]
    return Rows(
        np.concatenate([part.numbers for part in all_parts]),
        np.concatenate([part.codes for part in all_parts]),
        np.concatenate([part.labels for part in all_parts]),
        np.concatenate([part.folds for part in all_parts]),
    )


def orders(
    sizes: Mapping[int, int], *, batch: int, steps: int, seed: Sequence[int]
) -> Iterator[dict[int, npt.NDArray[np.int64]]]:
    """One epoch: at each step the numbers of `batch` rows of every shard, shuffled by `seed` and the shard's own.

    Args:
        sizes: Shard to its number of rows, each at least `batch` × `steps`.
        batch: Rows of a shard and step.
        steps: As many for every shard; rows left over have their turn in another epoch.
        seed: Such as run seed, fold and epoch.
    """
    shuffled = {
        shard: np.random.default_rng([*seed, shard]).permutation(rows)[: batch * steps].reshape(steps, batch)
        for shard, rows in sizes.items()
    }
    for step in range(steps):
        yield {shard: order[step] for shard, order in shuffled.items()}
