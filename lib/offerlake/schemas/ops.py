"""Operations: what ran, how good it was, which models are live."""

from __future__ import annotations

from offerlake.schemas.model import Col, Table

RUNS = Table(
    name="runs",
    layer="ops",
    grain="one event of one attempt of one job",
    key=("run_id", "job", "attempt", "event"),
    mode="append",
    retention="ops_days",
    columns=(
        Col("run_id", "string", "hash of as_of, settings, seed and code version"),
        Col("job", "string", "the job, or `pipeline`"),
        Col("attempt", "int", "from 1"),
        Col("event", "string", "start, finish or fail"),
        Col("time", "timestamp", "when"),
        Col("as_of", "date", "the day it ran for"),
        Col("config_hash", "string", "hash of the settings"),
        Col("code_version", "string", "version and hash of the code"),
        Col("inputs", "map<string,bigint>", "table to the Delta version read"),
        Col("outputs", "map<string,bigint>", "table to the Delta version written"),
        Col("rows_in", "bigint", "records read", null=True),
        Col("rows_out", "bigint", "records written to the main table", null=True),
        Col("duplicates", "bigint", "records dropped because their key was there", null=True),
        Col("quarantined", "bigint", "records refused", null=True),
        Col("seconds", "double", "time since the start", null=True),
        Col("error", "string", "class and message", null=True),
    ),
)

METRICS = Table(
    name="metrics",
    layer="ops",
    grain="one number of one run",
    key=("run_id", "name", "slice"),
    mode="merge",
    retention="ops_days",
    columns=(
        Col("run_id", "string", "the run"),
        Col("as_of", "date", "the day it ran for"),
        Col("name", "string", "such as response.auc"),
        Col("slice", "string", "all, or a part such as category=dairy"),
        Col("value", "double", "the number; null: not defined on this data", null=True),
        Col("low", "double", "lower end of its 95 % interval", null=True),
        Col("high", "double", "upper end", null=True),
    ),
)

EXPECTATIONS = Table(
    name="expectations",
    layer="ops",
    grain="one expectation of one table, as one attempt of one run found it",
    key=("run_id", "attempt", "table_name", "expectation"),
    mode="append",
    retention="ops_days",
    columns=(
        Col("run_id", "string", "the run"),
        Col("attempt", "int", "attempt of `check_quality`, from 1"),
        Col("as_of", "date", "the day it ran for"),
        Col("table_name", "string", "the table"),
        Col("expectation", "string", "its name"),
        Col("kind", "string", "not_null, range, set, foreign_key, unique, freshness_days, volume or drift"),
        Col("severity", "string", "warn, quarantine or stop"),
        Col("columns", "array<string>", "columns it speaks of; none: the whole table"),
        Col("expected", "string", "what is expected, as in its YAML"),
        Col("rows", "bigint", "rows it speaks of, those kept out by it included"),
        Col("failed_rows", "bigint", "rows that break it; null: it is not of rows", null=True),
        Col(
            "value",
            "double",
            "share of rows that keep it; freshness_days: days since the newest arrival; volume: rows of the last day over those its weekday had before; drift: population stability index; null: nothing to measure",
            null=True,
        ),
        Col("low", "double", "least value that is expected", null=True),
        Col("high", "double", "largest value that is expected", null=True),
        Col("passed", "boolean", "whether it is met; null: nothing to judge, or too little", null=True),
        Col("example", "string", "a value that breaks it, cut", null=True),
    ),
)

MODELS = Table(
    name="models",
    layer="ops",
    grain="one version of one model",
    key=("name", "version"),
    mode="append",
    retention="ops_days",
    columns=(
        Col("name", "string", "the model"),
        Col("version", "string", "run_id and attempt that trained it"),
        Col("path", "string", "its folder, relative to the lake"),
        Col("run_id", "string", "the run"),
        Col("status", "string", "live: the newest live row is the one in use; rejected: kept, not used"),
        Col("time", "timestamp", "when the row was written"),
        Col("settings", "string", "its settings as JSON"),
        Col("inputs", "map<string,bigint>", "table to the Delta version it was trained on"),
        Col("metrics", "map<string,double>", "what its training measured, as in metrics, slice all"),
    ),
)

SOURCE_COLUMNS = Table(
    name="source_columns",
    layer="ops",
    grain="one column of a source as one type: a new column, or a column's new type, is a new row",
    key=("feed", "column", "type"),
    mode="merge",
    retention="ops_days",
    columns=(
        Col("feed", "string", "the feed"),
        Col("column", "string", "the column's or key's name in the source"),
        Col(
            "type",
            "string",
            "what it is there: of CSV string; of JSON string, number, boolean, object or array; else the file's or schema's type",
        ),
        Col("first_source", "string", "file or topic it was first seen in"),
        Col("first_seen", "timestamp", "when that was loaded"),
    ),
)

TABLES = (RUNS, METRICS, EXPECTATIONS, MODELS, SOURCE_COLUMNS)
