"""What is expected of each silver table, from YAML; every mistake is told before Spark starts.

`conf/expectations/<name>.yaml`, or a file by its path:

    clicks:                                             # a silver table
      - {column: user_id, not_null: true, share: 0.05}  # at least this share of the rows keeps it; left out: all
      - {column: price, range: [0, 10000]}              # inclusive; null: open. A row without a price is not judged
      - {column: channel, set: [web, app]}
      - {column: product_id, foreign_key: products.product_id, share: 0.99}
      - {unique: [event_id], severity: stop}
      - {freshness_days: 2}                             # days from the newest arrival to as_of, at most
      - {volume: {weeks: 4, low: 0.5, high: 2}}         # arrivals of the last day over the mean of its weekday before
      - {column: price, drift: 0.2, days: 7, weeks: 4}  # population stability index of the last days and weeks before

`severity` is warn (the default), quarantine (not_null, range and set of a column that comes in the feed) or stop.
`name` replaces the name that is made of columns and kind, such as price_range.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offerlake.config import QualitySettings
from offerlake.documents import check_known, named_file, read_named
from offerlake.errors import ConfigError
from offerlake.schemas import Table
from offerlake.schemas.bronze import FEEDS
from offerlake.schemas.silver import TABLES

Positive = Annotated[int, Field(ge=1)]
Value = bool | int | float | str

CHECKED: dict[str, Table] = {contract.name: contract for contract in TABLES if contract.name != "quarantine"}
"""Tables of which something can be expected."""

FEED_OF: dict[str, str] = {name: {"order_lines": "orders"}.get(name, name) for name in CHECKED}
"""Table to the feed that it is cleaned from."""

KINDS = ("not_null", "range", "set", "foreign_key", "unique", "freshness_days", "volume", "drift")
_OF_COLUMN = ("not_null", "range", "set", "foreign_key", "drift")
_OF_ROW = ("not_null", "range", "set")
_WITH_SHARE = (*_OF_ROW, "foreign_key", "unique")
_BY_ARRIVAL = ("freshness_days", "volume", "drift")


class Volume(BaseModel):
    """How many rows a day is to have, as a share of what its weekday had on average in the weeks before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weeks: Positive
    low: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    high: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Expectation(BaseModel):
    """One expectation of one table, see above; `words` is what the YAML calls `set`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]*$")] = ""
    severity: Literal["warn", "quarantine", "stop"] = "warn"
    column: str | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    not_null: Literal[True] | None = None
    range: tuple[float | None, float | None] | None = None
    words: Annotated[tuple[Value, ...], Field(min_length=1)] | None = Field(default=None, alias="set")
    unique: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    foreign_key: str | None = None
    freshness_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    volume: Volume | None = None
    drift: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    days: Positive | None = None
    weeks: Positive | None = None

    @property
    def kind(self) -> str:
        """The one of KINDS that it is."""
        return next(kind for kind in KINDS if getattr(self, _FIELD.get(kind, kind)) is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it speaks of."""
        return self.unique or ((self.column,) if self.column else ())

    @property
    def least(self) -> float:
        """Share of the rows that have to keep it."""
        return 1.0 if self.share is None else self.share

    @property
    def target(self) -> tuple[str, str]:
        """Table and column that a foreign key points to."""
        table, _, column = (self.foreign_key or "").partition(".")
        return table, column

    @property
    def reach(self) -> int:
        """Days before as_of that it looks back to, where it compares days; else 0."""
        if self.volume is not None:
            return 7 * self.volume.weeks + 1
        return (self.days or 0) + 7 * (self.weeks or 0)


FOLDER = "expectations"
"""Of `conf/`."""

_FIELD = {"set": "words"}
Expectations = Mapping[str, tuple[Expectation, ...]]


def load_expectations(settings: QualitySettings) -> Expectations:
    """Reads the expectations that the settings name; without a name there are none.

    Raises:
        ConfigError: The file cannot be read, says what no expectation can say, or looks further back than
            `quality.days`.
    """
    if settings.expectations is None:
        return {}
    path = named_file(FOLDER, settings.expectations)
    tree = read_named(FOLDER, settings.expectations, setting="quality.expectations", what="expectations")
    found = parse_expectations(tree, where=path.name)
    for table, expected in found.items():
        for each in expected:
            if each.reach > settings.days:
                raise ConfigError(
                    f"quality.days: {settings.days}, but {table}.{each.name} looks back {each.reach} days",
                    fix=f"Set quality.days={each.reach} or more.",
                )
    return found


def parse_expectations(tree: Any, *, where: str) -> Expectations:
    """Checks expectations that have been read from YAML; each gets its name.

    Args:
        tree: What the YAML held.
        where: Its file's name, for messages.

    Raises:
        ConfigError: A table, key or column is unknown (the nearest right one is named), or does not fit the others.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"expectations {where}: got {type(tree).__name__}", fix="Write clicks: [{column: …, …}, …].")
    check_known(tree, CHECKED, where=f"expectations {where}", what="table")
    return {table: _of_table(CHECKED[table], entries, where=f"{where}: {table}") for table, entries in tree.items()}


def _of_table(contract: Table, entries: Any, *, where: str) -> tuple[Expectation, ...]:
    if not isinstance(entries, list):
        raise ConfigError(f"expectations {where}: got {entries!r}", fix="Write a list of {column: …, …}.")
    found: dict[str, Expectation] = {}
    for number, entry in enumerate(entries, start=1):
        at = f"{where}: number {number}"
        each = _parsed(entry, where=at)
        _check_columns(contract, each, where=at)
        _check_use(contract, each, where=at)
        name = each.name or "_".join([*each.columns, each.kind])
        if name in found:
            raise ConfigError(f"expectations {at}: a second {name}", fix="Give it a name of its own by name:.")
        found[name] = each.model_copy(update={"name": name})
    return tuple(found.values())


def _parsed(entry: Any, *, where: str) -> Expectation:
    if not isinstance(entry, dict):
        raise ConfigError(f"expectations {where}: got {entry!r}", fix="Write {column: price, range: [0, 100]}.")
    keys = [field.alias or name for name, field in Expectation.model_fields.items()]
    check_known(entry, keys, where=f"expectations {where}", what="key")
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise ConfigError(
            f"expectations {where}: got {' and '.join(kinds) or 'nothing to expect'}",
            fix=f"Give one of {', '.join(KINDS)}.",
        )
    try:
        return Expectation.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        shown = repr(first["input"])[:80]
        raise ConfigError(f"expectations {where}: {at}: got {shown}", fix=f"{first['msg']}.") from None


def _check_columns(contract: Table, each: Expectation, *, where: str) -> None:
    """The columns are there, and of a type that the expectation can be asked of."""
    kind = each.kind
    if kind in _OF_COLUMN and each.column is None:
        raise ConfigError(f"expectations {where}: {kind} without a column", fix="Say of which: column: price.")
    if kind not in _OF_COLUMN and each.column is not None:
        raise ConfigError(f"expectations {where}: {kind} of column {each.column}", fix="Leave column out.")
    check_known(each.columns, contract.names, where=f"expectations {where}: {contract.name}", what="column")
    types = {column.name: _sort(column.type) for column in contract.columns}
    if each.column is None:
        return
    found = types[each.column]
    right = {"range": ("number",), "set": ("text", "number", "yes or no"), "drift": ("number", "text", "yes or no")}
    if found not in right.get(kind, (found,)):
        raise ConfigError(
            f"expectations {where}: {kind} of {each.column}, which is {found}",
            fix=f"Give a column that is {' or '.join(right[kind])}.",
        )
    if each.words is not None and (wrong := [word for word in each.words if _sort_of(word) != found]):
        raise ConfigError(f"expectations {where}: set: got {wrong[0]!r}", fix=f"{each.column} is {found}.")
    if each.range is not None and None not in each.range and each.range[0] > each.range[1]:  # type: ignore[operator]
        raise ConfigError(f"expectations {where}: range: got {list(each.range)}", fix="The lower end comes first.")
    if each.foreign_key is not None:
        table, column = each.target
        check_known([table], CHECKED, where=f"expectations {where}: foreign_key", what="table")
        check_known([column], CHECKED[table].names, where=f"expectations {where}: foreign_key: {table}", what="column")


def _check_use(contract: Table, each: Expectation, *, where: str) -> None:
    """What would be read over in silence is refused."""
    kind = each.kind
    if each.share is not None and kind not in _WITH_SHARE:
        raise ConfigError(f"expectations {where}: share beside {kind}", fix=f"It is of {', '.join(_WITH_SHARE)}.")
    if kind == "drift" and (each.days is None or each.weeks is None):
        raise ConfigError(f"expectations {where}: drift without days and weeks", fix="Write days: 7, weeks: 4.")
    if kind != "drift" and (each.days is not None or each.weeks is not None):
        raise ConfigError(f"expectations {where}: days or weeks beside {kind}", fix="They are of drift.")
    if kind in _BY_ARRIVAL and (contract.partition is None or "arrived_at" not in contract.names):
        logs = [name for name, other in CHECKED.items() if other.partition is not None]
        raise ConfigError(f"expectations {where}: {kind} of a table that is no log", fix=f"It is of {', '.join(logs)}.")
    if each.volume is not None and each.volume.low > each.volume.high:
        raise ConfigError(f"expectations {where}: volume: low is above high", fix="Change them round.")
    if each.severity == "quarantine":
        if kind not in _OF_ROW:
            raise ConfigError(
                f"expectations {where}: severity quarantine for {kind}",
                fix=f"Say warn or stop: single rows break {', '.join(_OF_ROW)} only.",
            )
        if each.share is not None:
            raise ConfigError(f"expectations {where}: share beside quarantine", fix="Each row that breaks it goes.")
        if each.column not in FEEDS[FEED_OF[contract.name]]:
            raise ConfigError(
                f"expectations {where}: quarantine for {each.column}, which comes in no feed", fix="Say warn or stop."
            )


def _sort(sql_type: str) -> str:
    if sql_type in ("int", "bigint", "double") or sql_type.startswith("decimal"):
        return "number"
    return {"string": "text", "boolean": "yes or no"}.get(sql_type, sql_type)


def _sort_of(word: Value) -> str:
    if isinstance(word, bool):
        return "yes or no"
    return "text" if isinstance(word, str) else "number"
