"""What a side of clean_featurize.py made of the raw records, and whether two sides made the same of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from offerlake.schemas.user_features import FEATURES

_ROUNDING = 1e-9
_MONEY = ("price", "unit_price", "discount", "net_amount", "coupon_amount")
_TIMES = ("event_time", "order_time", "arrived_at")
_SAME = {
    "clicks": (
        "event_id", "user_id", "anonymous_id", "event_time", "arrived_at", "event_type", "product_id", "offer_id",
        "query", "price", "quantity", "channel", "device", "referrer", "known_product",
    ),
    "order_lines": (
        "order_id", "line_id", "user_id", "product_id", "order_time", "arrived_at", "quantity", "unit_price",
        "discount", "net_amount", "coupon_amount", "offer_id", "known_product",
    ),
}  # fmt: skip
"""Columns of the logs that all sides have to fill alike; the name of a session is each side's own."""


@dataclass(frozen=True)
class Outcome:
    """What a side wrote.

    Attributes:
        counts: Feed to what became of its records: rows_in, rows_out, duplicates, quarantined, and by code.
        tables: Table to the Parquet files it lies in.
    """

    counts: Mapping[str, Mapping[str, int]]
    tables: Mapping[str, str]


def of_ours(lake: Path) -> Outcome:
    """A lake whose tables were each written once, so that all files of a table belong to it."""
    layers = {"clicks": "silver", "order_lines": "silver", "quarantine": "silver"}
    layers |= {"user_features": "gold", "user_profiles": "gold"}
    counts: dict[str, dict[str, int]] = {}
    rows = duckdb.execute(
        f"SELECT name, value FROM '{lake}/ops/metrics/*.parquet' WHERE name LIKE 'clean.%'"
    ).fetchall()
    for name, value in rows:
        _, feed, what = name.split(".", 2)
        counts.setdefault(feed, {})[what] = int(value)
    return Outcome(counts, {name: f"{lake}/{layer}/{name}/**/*.parquet" for name, layer in layers.items()})


def of_peer(folder: Path) -> Outcome:
    """What a peer wrote: a file for each table, and counts.json."""
    counts = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
    names = ("clicks", "order_lines", "quarantine", "user_features", "user_profiles")
    return Outcome(counts, {name: f"{folder}/{name}.parquet" for name in names})


def job_seconds(lake: Path) -> dict[str, float]:
    """Seconds of each job of ours, by the ledger; some ran beside each other."""
    rows = duckdb.execute(f"SELECT job, seconds FROM '{lake}/ops/runs/*.parquet' WHERE event = 'finish' ORDER BY time")
    return {job: round(seconds, 1) for job, seconds in rows.fetchall()}


def differences(one: Outcome, other: Outcome) -> list[str]:
    """Where two sides differ, one sentence each; none: they made the same."""
    found = [
        f"{feed}: {one.counts.get(feed)} against {other.counts.get(feed)}"
        for feed in sorted(one.counts.keys() | other.counts.keys())
        if one.counts.get(feed) != other.counts.get(feed)
    ]
    for name in _SAME:
        left, right = (_content(name, side.tables[name]) for side in (one, other))
        found += [f"{name}: {left} against {right}"] if left != right else []
    reasons, others = (_refused(side.tables["quarantine"]) for side in (one, other))
    found += [f"quarantine: {reasons} against {others}"] if reasons != others else []
    found += _features(one.tables["user_features"], other.tables["user_features"])
    return found + _profiles(one.tables["user_profiles"], other.tables["user_profiles"])


def _content(name: str, files: str) -> tuple[int, ...]:
    """Rows, and a sum over hashes of what each says, which is the same in whatever order; of clicks also sessions."""
    columns = [
        f"epoch_us({column})" if column in _TIMES else f"{column}::DOUBLE" if column in _MONEY else column
        for column in _SAME[name]
    ]
    sums = f"count(*), sum(hash({', '.join(columns)})::HUGEINT)"
    sums += ", count(DISTINCT session_id)" if name == "clicks" else ""
    return tuple(duckdb.execute(f"SELECT {sums} FROM '{files}'").fetchall()[0])


def _refused(files: str) -> dict[tuple[str, str], int]:
    """Refused records by feed, code and column of the first reason."""
    rows = duckdb.execute(
        f"SELECT feed, split_part(reasons[1], '=', 1), count(*) FROM '{files}' GROUP BY ALL"
    ).fetchall()
    return {(feed, reason): number for feed, reason, number in rows}


def _features(one: str, other: str) -> list[str]:
    names = ", ".join(feature.name for feature in FEATURES)
    left, right = (
        duckdb.execute(f"SELECT user_id, {names} FROM '{files}' ORDER BY user_id").df() for files in (one, other)
    )
    if not left["user_id"].equals(right["user_id"]):
        return [f"user_features: {len(left)} users against {len(right)}, or others"]
    wrong = {feature.name: ~_alike(left[feature.name], right[feature.name], feature.type) for feature in FEATURES}
    return [
        f"user_features: {name} differs for {where.sum()} of {len(left)} users, "
        f"as {left[name][where].iloc[0]} against {right[name][where].iloc[0]} of {left['user_id'][where].iloc[0]}"
        for name, where in wrong.items()
        if where.any()
    ]


def _alike(left: pd.Series, right: pd.Series, kind: str) -> pd.Series:
    nothing = left.isna() & right.isna()
    if kind == "string":
        return nothing | (left == right)
    one, other = left.astype(float), right.astype(float)
    return nothing | ((one - other).abs() <= _ROUNDING * np.maximum(one.abs(), other.abs()))


def _profiles(one: str, other: str) -> list[str]:
    """Both maps, entry by entry."""
    found = []
    for name in ("category_affinity", "brand_affinity"):
        left, right = (_entries(name, files) for files in (one, other))
        apart = duckdb.execute(
            f"SELECT count(*) FROM ({left}) AS l FULL JOIN ({right}) AS r USING (user_id, key) "
            f"WHERE NOT coalesce(abs(l.value - r.value) <= {_ROUNDING} * greatest(l.value, r.value), false)"
        ).fetchall()[0][0]
        found += [f"user_profiles: {apart} entries of {name} differ"] if apart else []
    return found


def _entries(name: str, files: str) -> str:
    """A query for a map's entries; a peer without maps has a list of keys and values."""
    kind = duckdb.execute(f"SELECT any_value(typeof({name})) FROM '{files}'").fetchall()[0][0]
    entries = f"map_entries({name})" if kind.startswith("MAP") else name
    return f"SELECT user_id, unnest({entries}, recursive := true) FROM '{files}'"
