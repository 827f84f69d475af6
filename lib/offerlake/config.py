"""Settings: `conf/base.yaml`, an overlay, the environment and `--set`, in that order; typed and frozen.

Defaults stand in `base.yaml` alone. An unknown key stops the run and names the nearest right one.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from offerlake.errors import ConfigError

ENV_PREFIX = "OFFERLAKE__"


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


def _since_ever(rates: Any) -> Any:
    """One rate for all days, or rates by the day since when."""
    return rates if isinstance(rates, dict) else {date(1900, 1, 1): rates}


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("give a time zone such as UTC or Europe/Berlin") from None
    return name


Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Zone = Annotated[str, AfterValidator(_zone)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Rates = Annotated[dict[date, Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]], BeforeValidator(_since_ever)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunSettings(_Section):
    lake: str
    landing: str
    publish: str
    source: str
    seed: int
    parallel: Positive


class SparkSettings(_Section):
    master: str | None
    driver_memory: str | None
    shuffle_partitions: Positive
    snapshot_partitions: Positive
    conf: dict[str, str]


class RetentionSettings(_Section):
    raw_days: Positive
    log_days: Positive
    quarantine_days: Positive
    derived_days: Positive
    ops_days: Positive


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, bool | int | float) else value


class KafkaSettings(_Section):
    servers: str | None
    options: dict[str, Annotated[SecretStr, BeforeValidator(_text)]]
    lost_offsets: Literal["fail", "skip"]
    wait_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class IngestSettings(_Section):
    max_value_chars: Positive
    max_files: Positive
    max_offsets: Positive
    trigger_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    always_on: bool
    kafka: KafkaSettings


class CleanSettings(_Section):
    session_gap_minutes: Positive
    session_breaks: tuple[Literal["midnight", "campaign"], ...]
    clock_skew_minutes: Annotated[int, Field(ge=0)]
    late_days: Positive | None
    look_back_days: Positive | None
    currency: Currency | None
    rates: dict[Currency, Rates]
    unknown_products: Literal["flag", "quarantine"]
    unknown_users: Literal["flag", "quarantine"]
    bot_events_per_minute: Annotated[float, Field(gt=0)]
    bot_min_events: Positive
    bot_pause_spread: Annotated[float, Field(gt=0)]
    bot_hours: Annotated[float, Field(gt=0)]
    bot_agents: Pattern
    bot_score: Annotated[float, Field(gt=0, le=1)]
    test_users: tuple[str, ...]
    max_money: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    max_quantity: Positive
    unknown_consent: bool


class QualitySettings(_Section):
    expectations: str | None
    days: Positive


class LifecycleSettings(_Section):
    new_days: Positive
    loyal_orders: Positive
    cooling_gaps: Annotated[float, Field(gt=0)]
    dormant_gaps: Annotated[float, Field(gt=0)]
    lapsed_days: Positive

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.cooling_gaps >= self.dormant_gaps:
            raise ValueError(f"cooling_gaps {self.cooling_gaps} is not below dormant_gaps {self.dormant_gaps}")
        return self


class FeatureSettings(_Section):
    days: Positive
    brand_limit: Positive
    margin_rate: Share
    prior_orders: Annotated[float, Field(gt=0)]
    prior_sessions: Annotated[float, Field(gt=0)]
    prior_offers: Annotated[float, Field(gt=0)]
    deep_discount: Annotated[float, Field(gt=0, le=1)]
    time_zone: Zone
    app_channels: tuple[str, ...]
    lifecycle: LifecycleSettings
    search_term_limit: Positive
    sequence_length: Positive
    outlier_mads: Annotated[float, Field(gt=0)] | None


class ExampleSettings(_Section):
    horizon_days: Positive
    common_end: bool
    wait_days: Annotated[int, Field(ge=0)]
    click_window_minutes: Positive
    negative_rate: Annotated[float, Field(gt=0, le=1)]


Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class SearchSettings(_Section):
    trials: Annotated[int, Field(ge=0)]
    rank: tuple[Positive, Positive]
    alpha: Range
    regularisation: Range
    half_life_days: Range

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in ("rank", "alpha", "regularisation", "half_life_days"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: {low} is above {high}")
        return self


class NeighbourSettings(_Section):
    days: Positive
    most: Annotated[int, Field(ge=2)]
    least: Positive
    keep: Positive
    by: Literal["cosine", "lift"]


class RerankSettings(_Section):
    enabled: bool
    pool: Positive
    users: Positive
    trees: Positive
    depth: Positive
    rate: Annotated[float, Field(gt=0, le=1)]


class SessionSettings(_Section):
    enabled: bool
    recent_days: Positive
    history_days: Positive
    newest: Positive
    neighbours: Positive

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.recent_days > self.history_days:
            raise ValueError(f"recent_days {self.recent_days} is above history_days {self.history_days}")
        return self


class ContentSettings(_Section):
    enabled: bool
    neighbours: Positive
    least: Annotated[float, Field(gt=0, le=1)]


class ApproximateSettings(_Section):
    enabled: bool
    probes: Positive
    found: Positive


class RecommendSettings(_Section):
    n: Positive
    rank: Positive
    iterations: Positive
    regularisation: Annotated[float, Field(gt=0)]
    alpha: Annotated[float, Field(gt=0)]
    blocks: Positive
    half_life_days: Annotated[float, Field(gt=0)]
    weights: dict[str, float]
    mode: Literal["replenish", "discover", "both"]
    own_weights: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    popularity_days: Positive
    popularity_by: tuple[Literal["region", "age_band", "gender"], ...]
    refit_days: Annotated[int, Field(ge=0)]
    block_users: Positive
    per_category: Positive | None
    blocked_categories: tuple[str, ...]
    price_band: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)]] | None
    holdout_days: Positive
    rerank: RerankSettings
    content: ContentSettings
    approximate: ApproximateSettings
    neighbours: NeighbourSettings
    sessions: SessionSettings
    search: SearchSettings

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.rerank.enabled and self.rerank.pool < self.n:
            raise ValueError(f"rerank.pool: {self.rerank.pool} is less than n: {self.n}")
        if self.price_band and self.price_band[0] >= self.price_band[1]:
            raise ValueError(f"price_band: {self.price_band[0]} is not below {self.price_band[1]}")
        return self


class ResponseSettings(_Section):
    label: Literal["responded", "redeemed"]
    engine: Literal["gbt", "xgboost"]
    trees: Positive
    depth: Positive
    step: Annotated[float, Field(gt=0, le=1)]
    leaf: Positive
    negatives: Annotated[float, Field(gt=0)]
    ridge: Annotated[float, Field(gt=0)]
    calibration: Literal["platt", "isotonic"]
    validation_share: Share
    folds: Annotated[int, Field(ge=2)]
    test_from: date | None


class UpliftSettings(_Section):
    dose_scale: Annotated[float, Field(gt=0)]
    weight_limit: Annotated[float, Field(ge=1)]


class DeepSettings(_Section):
    enabled: bool
    processes: Positive
    epochs: Positive
    batch: Positive
    rate: Annotated[float, Field(gt=0)]
    vocabulary: Positive
    embedding: Positive
    hidden: tuple[Positive, ...]
    start_timeout: Positive


class ClvSettings(_Section):
    enabled: bool
    horizon_weeks: Positive
    discount_rate: Share
    holdout_days: Positive
    max_groups: Annotated[int, Field(ge=1000)]
    boosted: bool
    trees: Positive
    depth: Positive


class SegmentSettings(_Section):
    enabled: bool
    methods: Annotated[tuple[Literal["kmeans", "bisecting"], ...], Field(min_length=1)]
    k_min: Annotated[int, Field(ge=2)]
    k_max: Annotated[int, Field(ge=2, le=20)]
    sample: Annotated[int, Field(ge=100)]
    winsor: Annotated[float, Field(ge=0, lt=0.5)]
    keep_margin: Annotated[float, Field(ge=0, le=2)]
    move_limit: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.k_min > self.k_max:
            raise ValueError(f"k_min {self.k_min} is above k_max {self.k_max}: lower it")
        return self


class DecideSettings(_Section):
    budget: Money
    valid_days: Positive
    holdout_share: Share
    holdout_seed: int
    explore_share: Share
    contact_cost: dict[str, Money]
    explore_budget_share: Share
    min_spend_factor: Annotated[float, Field(gt=0)]
    products: Positive


class PublishSettings(_Section):
    format: Literal["csv", "jsonl"]
    rows_per_file: Positive


class EvaluateSettings(_Section):
    bootstrap: Positive
    max_rows: Positive
    gate: bool
    min_auc: Share
    truth: str | None


class SimulateSettings(_Section):
    users: Positive
    seed: int
    products: Annotated[int, Field(ge=100, multiple_of=10)]
    start: date
    warmup_days: Positive
    rounds: Positive
    round_days: Positive
    effects: Annotated[float, Field(ge=0)]
    control_share: Share
    old_rule_share: Share
    visits: Annotated[float, Field(gt=0, le=7)]
    duplicates: Share
    malformed: Share
    unknown: Share
    clock_skew: Share
    late: Share
    bots: Share


class DemoSettings(_Section):
    as_of: date
    budget_per_user: Money | None


class Settings(_Section):
    """All settings; each step gets its own section only."""

    run: RunSettings
    spark: SparkSettings
    retention: RetentionSettings
    ingest: IngestSettings
    clean: CleanSettings
    quality: QualitySettings
    features: FeatureSettings
    examples: ExampleSettings
    recommend: RecommendSettings
    response: ResponseSettings
    uplift: UpliftSettings
    deep: DeepSettings
    clv: ClvSettings
    segments: SegmentSettings
    decide: DecideSettings
    publish: PublishSettings
    evaluate: EvaluateSettings
    simulate: SimulateSettings
    demo: DemoSettings

    @property
    def hash(self) -> str:
        """12 hex digits over everything that can change a result: not where things lie, nor how Spark runs."""
        places = {"lake", "landing", "publish", "parallel"}
        how = {"max_files", "max_offsets", "trigger_seconds", "always_on", "kafka"}
        left_out: dict[str, Any] = {"run": places, "evaluate": {"truth"}, "spark": True, "ingest": how}
        content = self.model_dump(mode="json", exclude=left_out)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def conf_dir() -> Path:
    """The folder `conf`: inside the wheel, or at the top of a checkout."""
    packaged = Path(__file__).parent / "_conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def load_settings(
    overlays: Sequence[str | Path] = (),
    sets: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    given: Mapping[str, str | float | None] | None = None,
) -> Settings:
    """Reads the settings.

    Args:
        overlays: YAML files, or names in `conf/` such as `local`, each over the one before.
        sets: `a.b=value`, the value as YAML.
        env: The environment; by default the process's own.
        given: Dotted name to what an option of its own says, over all else; None: the option was not given.

    Raises:
        ConfigError: A file cannot be read, a key is unknown, a value is out of range, the truth lies in the lake.
    """
    tree = _read_yaml(conf_dir() / "base.yaml")
    for overlay in overlays:
        tree = _merged(tree, _read_yaml(_find(overlay)), where=str(overlay))
    for name, value in sorted((os.environ if env is None else env).items()):
        if name.startswith(ENV_PREFIX):
            path = name.removeprefix(ENV_PREFIX).lower().split("__")
            tree = _merged(tree, _nested(path, _parsed(value, where=name)), where=name)
    for text in sets:
        path_text, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--set: got {text!r}", fix="Write --set section.name=value.")
        parsed = _parsed(value, where=f"--set {text}")
        tree = _merged(tree, _nested(path_text.strip().split("."), parsed), where="--set")
    for name, option in (given or {}).items():
        if option is not None:
            tree = _merged(tree, _nested(name.split("."), option), where="option")
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"setting {name}: got {_shown(first['input'], first['loc'])}", fix=f"{first['msg']}."
        ) from None
    if settings.evaluate.truth is not None:
        check_truth(settings.evaluate.truth, lake=settings.run.lake, landing=settings.run.landing)
    return settings


def check_truth(truth: str, *, lake: str, landing: str) -> None:
    """Makes sure that the truth of a test shop lies where no job but `evaluate` comes by.

    Raises:
        ConfigError: It lies in the lake, or among the feeds.
    """
    known = _spelled_out(truth)
    if known.is_relative_to(_spelled_out(lake)):
        raise ConfigError(f"the truth: got {truth}, in the lake {lake}", fix="Give a folder outside the lake.")
    if known == _spelled_out(landing):
        raise ConfigError(f"the truth: got {truth}, the landing folder", fix="Give a folder of its own.")


def _spelled_out(place: str) -> PurePath:
    local = re.sub(r"^file:(//)?(?=/)", "", place)
    return PurePosixPath(place) if "://" in local else Path(local).resolve()


def _find(overlay: str | Path) -> Path:
    named = conf_dir() / f"{overlay}.yaml"
    return named if named.is_file() else Path(overlay)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"settings file {path}: {error.strerror}", fix="Give a YAML file that exists.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path}: not YAML: {error}", fix="Mend the line it names.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"settings file {path}: got {type(content).__name__}", fix="Write section: {name: value}.")
    return content


def _parsed(value: str, *, where: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"{where}: {value!r} is not a YAML value", fix="Quote it.") from None


def _nested(path: Sequence[str], content: Any) -> dict[str, Any]:
    for part in reversed(path):
        content = {part: content}
    return dict(content)


# Sections whose keys are the user's own.
_OPEN = {
    ("spark", "conf"),
    ("decide", "contact_cost"),
    ("recommend", "weights"),
    ("ingest", "kafka", "options"),
    ("clean", "rates"),
}
_SECRET = ("ingest", "kafka", "options")


def _shown(value: Any, path: Sequence[Any]) -> str:
    """A value for a message; not one that may be a password."""
    return "what is not shown" if tuple(path[: len(_SECRET)]) == _SECRET else repr(value)


def _merged(base: dict[str, Any], over: dict[str, Any], *, where: str, at: tuple[str, ...] = ()) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        path = (*at, key)
        if key not in base and not any(at[: len(path)] == path for path in _OPEN):
            near = difflib.get_close_matches(str(key), [str(known) for known in base], n=1)
            raise ConfigError(
                f"{where}: unknown setting {'.'.join(map(str, path))}",
                fix=f"Did you mean {'.'.join([*at, near[0]])}?" if near else f"There are {', '.join(base)}.",
            )
        if isinstance(base.get(key), dict):
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{where}: {'.'.join(map(str, path))}: got {_shown(value, path)}", fix="It is a section."
                )
            result[key] = _merged(base[key], value, where=where, at=path)
        else:
            result[key] = value
    return result
