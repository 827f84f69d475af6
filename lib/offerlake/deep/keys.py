"""`randomness.fold` outside Spark: the same fold of a user for who reads Parquet files without Spark.

XXH64 (Collet, 2012) as Spark chains it: the hash of one column is the seed of the next, from 42; a bigint is hashed as
its 8 bytes, a string as its UTF-8 bytes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
_SEED = np.array([42], dtype=np.uint64)


def fold(seed: int, purpose: str, folds: int, keys: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int32]:
    """A fold number from 0 to `folds` − 1 for each key, equal to `randomness.fold(seed, purpose, folds, key)`."""
    start = _hash(np.frombuffer(np.int64(seed).tobytes(), dtype=np.uint8)[None, :], _SEED)
    start = _hash(np.frombuffer(purpose.encode(), dtype=np.uint8)[None, :], start)
    array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    draws = _strings(array.cast(pa.large_string()), start[0]).view(np.int64)
    return np.asarray(np.mod(draws, folds), dtype=np.int32)


def _strings(array: pa.LargeStringArray, seed: np.uint64) -> Words:
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer else np.empty(0, dtype=np.uint8)
    lengths = np.diff(offsets)
    result = np.empty(len(array), dtype=np.uint64)
    for length in np.unique(lengths):  # keys of one length at once
        rows = np.flatnonzero(lengths == length)
        result[rows] = _hash(data[offsets[rows][:, None] + np.arange(length)], np.full(len(rows), seed))
    return result


def _hash(data: npt.NDArray[np.uint8], seeds: Words) -> Words:
    """XXH64 of each row of `data` (rows, length) with its seed."""
    length, at = data.shape[1], 0
    if length >= 32:
        lanes = [seeds + _P1 + _P2, seeds + _P2, seeds, seeds - _P1]
        while at + 32 <= length:
            words = [_word(data[:, at + 8 * lane : at + 8 * lane + 8]) for lane in range(4)]
            lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
            at += 32
        h = _turn(lanes[0], 1) + _turn(lanes[1], 7) + _turn(lanes[2], 12) + _turn(lanes[3], 18)
        for lane in lanes:
            h = (h ^ _round(np.zeros_like(lane), lane)) * _P1 + _P4
    else:
        h = seeds + _P5
    h = h + np.uint64(length)
    while at + 8 <= length:
        h = _turn(h ^ _round(np.zeros_like(h), _word(data[:, at : at + 8])), 27) * _P1 + _P4
        at += 8
    if at + 4 <= length:
        h = _turn(h ^ (_word(data[:, at : at + 4]) * _P1), 23) * _P2 + _P3
        at += 4
    for byte in range(at, length):
        h = _turn(h ^ (data[:, byte].astype(np.uint64) * _P5), 11) * _P1
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return h ^ (h >> np.uint64(32))


def _word(data: npt.NDArray[np.uint8]) -> Words:
    """Little-endian number of each row's bytes."""
    shifts = np.arange(data.shape[1], dtype=np.uint64) * np.uint64(8)
    parts: Words = data.astype(np.uint64) << shifts
    total: Words = parts.sum(axis=1, dtype=np.uint64)
    return total


def _round(lane: Words, word: Words) -> Words:
    return _turn(lane + word * _P2, 31) * _P1


def _turn(x: Words, bits: int) -> Words:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))
