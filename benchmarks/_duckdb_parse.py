"""Raw strings to typed columns in DuckDB, each with what is wrong with it; and which record of a key stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

MACROS = """
CREATE MACRO said(x) AS nullif(trim(x, ' '), '');
CREATE MACRO moment(x) AS try_cast(said(x) AS TIMESTAMP);
CREATE MACRO money(x) AS try_cast(said(x) AS DECIMAL(18, 4));
CREATE MACRO whole(x) AS CASE WHEN try_cast(said(x) AS DOUBLE) = floor(try_cast(said(x) AS DOUBLE))
                              THEN try_cast(try_cast(said(x) AS DOUBLE) AS INTEGER) END;
CREATE MACRO try_divide(a, b) AS CASE WHEN b <> 0 THEN a / b END;
"""
LANDED = "loaded_at, source, length(source_position), source_position"
_ORIGIN = ("source", "source_position", "loaded_at")

Check = tuple[str, str, str | None]
"""Where something is wrong, over `raw` and typed columns; code and column; a value to tell, if any."""


@dataclass(frozen=True)
class Cell:
    """One typed column: its name, its value as SQL out of `raw`, and what may be wrong: the first that is is told."""

    name: str
    value: str
    checks: tuple[Check, ...] = ()

    def refuse(self, code: str, wrong: str, shown: str | None = None) -> Cell:
        """Adds a check; `shown` is told instead of the raw value."""
        return Cell(self.name, self.value, (*self.checks, (wrong, f"{code}:{self.name}", shown or f"raw.{self.name}")))

    def required(self) -> Cell:
        """Refuses what has nothing here."""
        return Cell(self.name, self.value, (*self.checks, (f"{self.name} IS NULL", f"missing:{self.name}", None)))

    def within(self, low: float, high: float) -> Cell:
        """Refuses what is out of range."""
        return self.refuse("range", f"{self.name} NOT BETWEEN {low} AND {high}")


def text(name: str, default: str | None = None) -> Cell:
    """Any text; an empty one is none."""
    value = f"said(raw.{name})"
    return Cell(name, value if default is None else f"coalesce({value}, '{default}')")


def parsed(name: str, value: str) -> Cell:
    """What a text says, if it says anything."""
    return Cell(name, value).refuse("unparsable", f"{name} IS NULL AND said(raw.{name}) IS NOT NULL")


def instant(name: str) -> Cell:
    """A time in UTC."""
    return parsed(name, f"moment(raw.{name})")


def number(name: str, low: float, high: float) -> Cell:
    """Any number."""
    return parsed(name, f"try_cast(said(raw.{name}) AS DOUBLE)").within(low, high)


def whole(name: str, low: float, high: float) -> Cell:
    """A whole number; 3.0 is one."""
    return parsed(name, f"whole(raw.{name})").within(low, high)


def money(name: str, low: float, high: float) -> Cell:
    """An amount."""
    return parsed(name, f"money(raw.{name})").within(low, high)


def amount(name: str, low: float, high: float) -> Cell:
    """Likewise, but judged by what the text says: the column may be worked out from others."""
    said = f"money(raw.{name})"
    unread = f"{said} IS NULL AND said(raw.{name}) IS NOT NULL"
    return Cell(name, said).refuse("unparsable", unread).refuse("range", f"{said} NOT BETWEEN {low} AND {high}")


def boolean(name: str) -> Cell:
    """True or false, in words."""
    said = f"lower(said(raw.{name}))"
    yes, no = ("'true', 't', 'yes', 'y', '1'", "'false', 'f', 'no', 'n', '0'")
    return parsed(name, f"CASE WHEN {said} IN ({yes}) THEN true WHEN {said} IN ({no}) THEN false END")


def choice(name: str, words: Sequence[str], value: str | None = None) -> Cell:
    """One of our words."""
    known = ", ".join(f"'{word}'" for word in words)
    return Cell(name, value or f"said(raw.{name})").required().refuse("unknown", f"{name} NOT IN ({known})")


def arrival(happened: str, skew_minutes: int) -> Cell:
    """When an event was known: not long before it happened, which was not long after it was loaded either."""
    early = f"{happened} > least(arrived_at, raw.loaded_at) + INTERVAL {skew_minutes} MINUTE"
    return instant("arrived_at").required().refuse("clock_skew", early, f"raw.{happened}")


def because(said: str, shown: str | None, quote: int) -> str:
    """A reason, with the value cut."""
    return f"'{said}'" if shown is None else f"'{said}=''' || left(coalesce({shown}, 'null')::VARCHAR, {quote}) || ''''"


def typed(
    base: DuckDBPyConnection, feed: str, files: str, cells: Sequence[Cell], checks: Sequence[Check] = (), *, quote: int
) -> None:
    """Types a feed's records in one pass, into the table <feed>_typed.

    It has the cells' columns, the origin, and of a record that cannot be used `reasons` and `record`, else null.
    """
    parts = [*[cell.checks for cell in cells if cell.checks], *[(check,) for check in checks]]
    wrong = " OR ".join(f"({where})" for part in parts for where, _, _ in part)
    firsts = (
        "CASE " + " ".join(f"WHEN {where} THEN {because(said, shown, quote)}" for where, said, shown in part) + " END"
        for part in parts
    )
    columns = ", ".join(cell.name for cell in cells)
    values = ", ".join(f"{cell.value} AS {cell.name}" for cell in cells)
    base.execute(
        f"CREATE TEMP TABLE {feed}_typed AS "
        f"WITH read AS (SELECT raw, {values} FROM '{files}' AS raw), "
        f"judged AS (SELECT *, coalesce({wrong}, false) AS wrong FROM read) "
        f"SELECT {columns}, {', '.join(f'raw.{name} AS {name}' for name in _ORIGIN)}, "
        f"CASE WHEN wrong THEN list_filter([{', '.join(firsts)}], lambda reason: reason IS NOT NULL) END AS reasons, "
        "CASE WHEN wrong THEN to_json(raw)::VARCHAR END AS record FROM judged"
    )


def first_wins(base: DuckDBPyConnection, feed: str, *key: str) -> None:
    """Of <feed>_typed the first to arrive of each key, into <feed>_kept; the others into <feed>_others.

    In <feed>_others `same` says whether it says what the first one says. Few keys come more than once: only their
    records are sorted.
    """
    names = ",".join(key)
    content = _content(base, feed, key)
    base.execute(
        f"CREATE TEMP TABLE again AS SELECT {names} FROM {feed}_typed WHERE reasons IS NULL "
        f"GROUP BY {names} HAVING count(*) > 1"
    )
    base.execute(
        f"CREATE TEMP TABLE ordered AS SELECT *, row_number() OVER w AS place, "
        f"hash({content}) = first_value(hash({content})) OVER w AS same FROM {feed}_typed "
        f"SEMI JOIN again USING ({names}) WHERE reasons IS NULL "
        f"WINDOW w AS (PARTITION BY {names} ORDER BY arrived_at, {LANDED})"
    )
    base.execute(
        f"CREATE TEMP TABLE {feed}_kept AS SELECT * EXCLUDE (reasons, record) FROM {feed}_typed ANTI JOIN again "
        f"USING ({names}) WHERE reasons IS NULL "
        f"UNION ALL SELECT * EXCLUDE (reasons, record, place, same) FROM ordered WHERE place = 1"
    )
    base.execute(f"CREATE TEMP TABLE {feed}_others AS SELECT * EXCLUDE (place) FROM ordered WHERE place > 1")
    base.execute("DROP TABLE again; DROP TABLE ordered")
    _refused(base, feed, names)


def versions(base: DuckDBPyConnection, feed: str, key: str) -> None:
    """Of <feed>_typed what a product, user or offer says anew, into <feed>_kept; the others into <feed>_others.

    Those say the same as before (`same`), or something else at the very same time as another.
    """
    base.execute(
        f"CREATE TEMP TABLE ordered AS "
        f"WITH told AS (SELECT *, hash({_content(base, feed, (key,))}) AS content, "
        f"coalesce(lag(arrived_at) OVER w <> arrived_at, true) AS opens FROM {feed}_typed WHERE reasons IS NULL "
        f"WINDOW w AS (PARTITION BY {key} ORDER BY arrived_at, {LANDED})), "
        "versioned AS (SELECT *, last_value(CASE WHEN opens THEN content END IGNORE NULLS) OVER v AS version "
        f"FROM told WINDOW v AS (PARTITION BY {key} ORDER BY arrived_at, {LANDED} ROWS UNBOUNDED PRECEDING)) "
        "SELECT * EXCLUDE (content, version), coalesce(content = CASE WHEN opens THEN lag(version) OVER w "
        "ELSE version END, false) AS same FROM versioned "
        f"WINDOW w AS (PARTITION BY {key} ORDER BY arrived_at, {LANDED})"
    )
    base.execute(
        f"CREATE TEMP TABLE {feed}_kept AS SELECT * EXCLUDE (reasons, record, opens, same) FROM ordered "
        "WHERE opens AND NOT same"
    )
    base.execute(f"CREATE TEMP TABLE {feed}_others AS SELECT * EXCLUDE (opens) FROM ordered WHERE NOT opens OR same")
    base.execute("DROP TABLE ordered")
    _refused(base, feed, f"{key},arrived_at")


def _refused(base: DuckDBPyConnection, feed: str, key: str) -> None:
    """What has been refused so far, into <feed>_refused: reasons, record and origin."""
    origin = ", ".join(_ORIGIN)
    base.execute(
        f"CREATE TEMP TABLE {feed}_refused AS SELECT reasons, record, {origin} FROM {feed}_typed "
        f"WHERE reasons IS NOT NULL UNION ALL SELECT ['changed:{key}'], to_json({feed}_others)::VARCHAR, {origin} "
        f"FROM {feed}_others WHERE NOT same"
    )
    base.execute(f"DROP TABLE {feed}_typed")


def refuse(base: DuckDBPyConnection, feed: str, wrong: str, reasons: str) -> None:
    """Moves kept records to the refused ones."""
    base.execute(
        f"INSERT INTO {feed}_refused SELECT {reasons}, to_json({feed}_kept)::VARCHAR, {', '.join(_ORIGIN)} "
        f"FROM {feed}_kept WHERE {wrong}"
    )
    base.execute(f"DELETE FROM {feed}_kept WHERE {wrong}")


def _content(base: DuckDBPyConnection, feed: str, key: Sequence[str]) -> str:
    """What a record says, its key, its arrival and its origin aside."""
    names = [name for name, *_ in base.execute(f"DESCRIBE {feed}_typed").fetchall()]
    return ", ".join(name for name in names if name not in (*key, *_ORIGIN, "arrived_at", "reasons", "record"))
