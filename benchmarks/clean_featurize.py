"""How long it takes from raw records to silver and one day's features, and whether others find the same.

    .venv/bin/python benchmarks/clean_featurize.py --dir out/bench [--clicks 10000000] [--order-lines 1000000] [--json]
    .venv/bin/python benchmarks/clean_featurize.py --dir out/bench --sizes 10,20,40 [--json]

Ours is `offerlake run` of the nine jobs of JOBS with conf/local.yaml, on bronze as `ingest` leaves it. Polars and
DuckDB do the same work from the same Parquet files to Parquet files, with two threads each. Each side runs in a process
of its own, in turn, `--repeat` times; seconds are medians over whole processes. After each turn the results are
compared: what became of the records, the rows of clicks and order lines, and every feature of every user. Where
anything differs it ends with exit code 1. What Spark's tasks took of the two cores, by job, is of our last turn.

With `--sizes`, in millions of clicks with a tenth of order lines, ours alone runs at each size. It ends with exit code
1 where it takes 6 GiB, or where its time grows by more than 15 % beyond its input.

Linux only: it reads /proc. What is drawn stays in the folder `clean_featurize` of --dir for the next time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from _account import core_seconds, logged_to
from _outcome import Outcome, differences, job_seconds, of_ours, of_peer
from _raw import CLICKS_A_USER, write_raw
from _silver import AS_OF
from _watch import Taken, watch_command

from offerlake.config import load_settings
from offerlake.session import open_session

JOBS = (
    "clean_products", "clean_users", "clean_offers", "clean_clicks", "clean_orders", "clean_exposures",
    "clean_redemptions", "build_activity", "build_features",
)  # fmt: skip
SIDES = ("ours", "polars", "duckdb")
MOST_MB = 6 * 1024
MOST_GROWTH = 1.15
_HERE = Path(__file__).parent
_OFTEN = 0.5  # seconds between two looks at the memory: the quickest side is soon done


def main() -> None:
    """Runs all sides, or ours at several sizes, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="where the data go, and stay")
    parser.add_argument("--clicks", type=int, default=10_000_000)
    parser.add_argument("--order-lines", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sizes", type=lambda text: [float(size) for size in text.split(",")])
    parser.add_argument("--only", choices=SIDES, help="one side, compared with nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)  # of the process that draws the data
    options = parser.parse_args()
    if options.draw is not None:
        spark = open_session(load_settings(["local"]).spark, app="clean_featurize")
        write_raw(spark, str(options.draw), clicks=options.clicks, order_lines=options.order_lines)
        return
    root = (options.dir / "clean_featurize").resolve()
    answer = _at_sizes(root, options) if options.sizes else _side_by_side(root, options)
    if options.json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        sys.stdout.writelines(f"{name:20} {value}\n" for name, value in answer.items())
    sys.exit(0 if answer["holds"] else 1)


def _side_by_side(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All sides at one size; `holds`: they found the same."""
    place = _drawn(root, options.clicks, options.order_lines)
    sides = (options.only,) if options.only else SIDES
    taken: dict[str, list[Taken]] = {side: [] for side in sides}
    jobs: list[dict[str, float]] = []
    wrong: dict[str, None] = {}
    for _ in range(options.repeat):
        found: dict[str, Outcome] = {}
        for side in sides:
            taken[side].append(_run(side, place))
            found[side] = of_ours(place / "lake") if side == "ours" else of_peer(place / side)
            if side == "ours":
                jobs.append(job_seconds(place / "lake"))
            elif "ours" in found:
                wrong |= dict.fromkeys(f"{side}: {text}" for text in differences(found["ours"], found[side]))
    sys.stderr.writelines(f"{text}\n" for text in wrong)
    seconds = {side: statistics.median(each.seconds for each in taken[side]) for side in sides}
    counts = found[sides[0]].counts
    return {
        "clicks": options.clicks,
        "order_lines": options.order_lines,
        "users": max(1, options.clicks // CLICKS_A_USER),
        "records": {feed: counts[feed]["rows_in"] for feed in counts},
        "raw_mb": round(sum(file.stat().st_size for file in place.glob("lake/bronze/**/*.parquet")) / 1024**2),
        "seconds": seconds,
        "ratio": {side: round(seconds["ours"] / seconds[side], 2) for side in sides if "ours" in sides},
        "peak_mb": {side: max(each.peak_mb for each in taken[side]) for side in sides},
        "core_seconds_by_job": core_seconds(place / "events", JOBS) if "ours" in sides else {},
        "seconds_by_job": {name: statistics.median(each[name] for each in jobs) for name in (jobs or [{}])[0]},
        "holds": not wrong,
    }


def _at_sizes(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ours at several sizes; `holds`: within its memory, and no slower than its input grows."""
    rows = []
    for size in options.sizes:
        clicks = round(size * 1_000_000)
        place = _drawn(root, clicks, clicks // 10)
        taken = [_run("ours", place) for _ in range(options.repeat)]
        seconds = statistics.median(each.seconds for each in taken)
        rows.append({"clicks": clicks, "seconds": seconds, "peak_mb": max(each.peak_mb for each in taken)})
    growth = [
        round(after["seconds"] / before["seconds"] * before["clicks"] / after["clicks"], 3)
        for before, after in pairwise(rows)
    ]
    holds = all(row["peak_mb"] < MOST_MB for row in rows) and all(each <= MOST_GROWTH for each in growth)
    return {"sizes": rows, "seconds_over_input": growth, "holds": holds}


def _drawn(root: Path, clicks: int, order_lines: int) -> Path:
    """The folder of a size, drawn unless it is there; by a process of its own, whose memory is free afterwards."""
    place = root / f"{clicks}-{order_lines}"
    if not place.exists():
        part = root / "part"
        shutil.rmtree(part, ignore_errors=True)
        size = ["--clicks", str(clicks), "--order-lines", str(order_lines)]
        watch_command([sys.executable, __file__, "--dir", str(root), "--draw", str(part / "lake"), *size])
        part.rename(place)
    return place


def _run(side: str, place: Path) -> Taken:
    """One side from nothing but bronze."""
    lake = place / "lake"
    if side == "ours":
        for layer in ("silver", "gold", "ops"):
            shutil.rmtree(lake / layer, ignore_errors=True)
        events = place / "events"
        shutil.rmtree(events, ignore_errors=True)
        events.mkdir()
        only = [word for job in JOBS for word in ("--only", job)]
        where = ["--config", "local", "--lake", str(lake), *logged_to(events)]
        command = [sys.executable, "-m", "offerlake", "run", *only, *where]
    else:
        shutil.rmtree(place / side, ignore_errors=True)
        (place / side).mkdir()
        script = [sys.executable, str(_HERE / f"_{side}_peer.py")]
        command = ["env", "POLARS_MAX_THREADS=2", *script, "--bronze", str(lake / "bronze"), "--out", str(place / side)]
    return watch_command([*command, "--as-of", str(AS_OF)], every=_OFTEN)


if __name__ == "__main__":
    main()
