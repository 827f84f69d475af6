"""The demo: it makes a landing folder, runs the whole pipeline over it, and gathers what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake import files, pipeline
from offerlake.config import Settings, load_settings
from offerlake.errors import ConfigError, MissingTableError
from offerlake.lanes import Progress
from offerlake.ledger import published_runs, run_id_of
from offerlake.parallel import side_by_side
from offerlake.quality.expectations import load_expectations
from offerlake.schemas import TABLES
from offerlake.tables import Lake

Data = Literal["shop", "completejourney"]
_MARKER = ".demo.json"  # in the landing folder: what the demo put there; readers of files pass over names with a dot


@dataclass(frozen=True)
class Places:
    """Where a demo keeps its things: all beside the lake, and the truth never in it."""

    lake: Path
    landing: Path
    truth: Path
    publish: Path

    @classmethod
    def beside(cls, lake: str) -> Places:
        """The places of a demo whose tables lie in the folder `lake`.

        Raises:
            ConfigError: It is not a folder of this machine.
        """
        if "://" in lake:
            raise ConfigError(f"--lake: got {lake!r}", fix="The demo runs on this machine: give a folder.")
        root = Path(lake).absolute()
        return cls(root, *(root.with_name(f"{root.name}-{part}") for part in ("landing", "truth", "published")))


def demo_settings(
    data: Data,
    places: Places,
    *,
    users: int | None = None,
    seed: int | None = None,
    overlays: Sequence[str] = (),
    sets: Sequence[str] = (),
) -> Settings:
    """The settings of a demo: base, local, the demo's own overlay, then what the caller gives."""
    names = ["local", "demo" if data == "shop" else data, *overlays]
    lie = {"run.lake": places.lake, "run.landing": places.landing, "run.publish": places.publish}
    if data == "shop":
        lie["evaluate.truth"] = places.truth
    sets = [*[f"{name}={json.dumps(str(place))}" for name, place in lie.items()], *sets]
    given: dict[str, str | float | None] = {"run.seed": seed, "simulate.seed": seed, "simulate.users": users}
    settings = load_settings(names, sets, given=given)
    if settings.demo.budget_per_user is None:
        return settings
    budget = settings.demo.budget_per_user * settings.simulate.users
    return load_settings(names, [f"decide.budget={budget}", *sets], given=given)


def check(settings: Settings, data: Data, places: Places) -> None:
    """Finds what would stop `prepare`, before Spark starts.

    Raises:
        ConfigError: The folders hold another demo, or something else; settings do not fit together; the expectations
            are wrong.
        EnvironmentProblem: The real data is not installed.
    """
    load_expectations(settings.quality)
    if places.publish.exists() and not places.lake.exists():
        raise ConfigError(
            f"{places.publish} holds what a lake published that is gone",
            fix=f"Give another --lake, or delete {places.publish}.",
        )
    marker = places.landing / _MARKER
    if marker.is_file():
        if json.loads(marker.read_text(encoding="utf-8")) != _wanted(settings, data):
            raise ConfigError(
                f"{places.landing} holds another demo: {marker.read_text(encoding='utf-8')[:200]}",
                fix=f"Give another --lake, or delete {places.lake}, {places.landing} and {places.publish}.",
            )
        return
    if places.lake.exists():
        raise ConfigError(f"{places.lake} is there, and is not a demo's", fix="Give another --lake.")
    if data == "shop":
        from offerlake.simulate import check_shop

        check_shop(settings, landing=str(places.landing), truth=str(places.truth))
    else:
        from offerlake.ingest.completejourney import check_installed

        check_installed()


def _wanted(settings: Settings, data: Data) -> dict[str, Any]:
    """What the landing folder of this very demo holds."""
    own = {"simulate": settings.simulate.model_dump(mode="json"), "contact_cost": settings.decide.contact_cost}
    return {"data": data, **(own if data == "shop" else {})}


def prepare(spark: SparkSession, settings: Settings, data: Data, places: Places) -> bool:
    """Fills the landing folder, unless this very demo filled it before; returns whether it did.

    Raises:
        ConfigError: As by `check`.
        EnvironmentProblem: Likewise.
    """
    check(settings, data, places)
    marker = places.landing / _MARKER
    if marker.is_file():
        return False
    if data == "shop":
        from offerlake.simulate import simulate_shop

        simulate_shop(spark, settings, landing=str(places.landing), truth=str(places.truth))
    else:
        from offerlake.ingest.completejourney import prepare as prepare_real

        prepare_real(places.landing)
    marker.write_text(json.dumps(_wanted(settings, data), sort_keys=True), encoding="utf-8")
    return True


def run(spark: SparkSession, settings: Settings, *, tell: Callable[[Progress], None] = lambda _: None) -> str:
    """Runs the whole pipeline for the demo's day; returns the run_id. With other settings the day is assigned anew."""
    day = settings.demo.as_of
    published = published_runs(Lake(spark, settings.run.lake), day)
    others = bool(published) and run_id_of(settings, day) not in published
    return pipeline.run(spark, settings, day, force=others, tell=tell)


def results(spark: SparkSession, settings: Settings, run_id: str) -> dict[str, Any]:
    """What `demo --json` prints, but for the seconds: lake, report, tables, metrics, oracle_share."""
    lake = Lake(spark, settings.run.lake)
    numbers = _numbers(lake, run_id)
    share = "oracle_share."
    found: dict[str, Any] = {
        "lake": settings.run.lake,
        "report": str(newest_report(settings.run.lake)),
        "tables": _sizes(lake),
        "metrics": numbers,
    }
    if any(name.startswith(share) for name in numbers):
        found["oracle_share"] = {name.removeprefix(share): x for name, x in numbers.items() if name.startswith(share)}
    return found


def _sizes(lake: Lake) -> dict[str, int]:
    """The rows of each table that is there."""
    there = [name for name in TABLES if lake.exists(name)]
    return dict(zip(there, side_by_side(lambda name: lake.read(name).count(), there), strict=True))


def _numbers(lake: Lake, run_id: str) -> dict[str, float | None]:
    """Metrics of the run as a whole: `x`, and `x_low`, `x_high` where it has an interval."""
    rows = lake.read("metrics").where((F.col("run_id") == run_id) & (F.col("slice") == "all"))
    numbers: dict[str, float | None] = {}
    for row in rows.orderBy("name").collect():
        numbers[row["name"]] = row["value"]
        if row["low"] is not None or row["high"] is not None:
            numbers[f"{row['name']}_low"] = row["low"]
            numbers[f"{row['name']}_high"] = row["high"]
    return numbers


def newest_report(lake: str) -> Path:
    """The newest report of a lake on this machine.

    Raises:
        MissingTableError: There is none.
    """
    found = sorted(Path(lake).glob("reports/**/*.html"), key=lambda path: (path.stat().st_mtime, path.name))
    if not found:
        raise _no_report(lake)
    return found[-1]


def newest_remote_report(spark: SparkSession, lake: str) -> str:
    """URI of the newest report of a lake on any file system that Spark knows.

    Raises:
        MissingTableError: There is none.
    """
    folder = f"{lake.rstrip('/')}/reports"
    found = {name: time for name, time in files.changed(spark, folder).items() if name.endswith(".html")}
    if not found:
        raise _no_report(lake)
    return f"{folder}/{max(found, key=lambda name: (found[name], name))}"


def _no_report(lake: str) -> MissingTableError:
    return MissingTableError(f"no report in {lake}", fix="Run `offerlake demo`, or `offerlake run`.")
