"""Features of many days in one pass against those of one day, both from silver with empty gold.

    .venv/bin/python benchmarks/backfill.py --dir out/bench [--users 100000] [--clicks 10000000] [--json]

Each side runs `offerlake run --only build_activity --only build_features` in a process of its own, in turn, `--repeat`
times; medians. Linux only: it reads /proc. What is in the folder `backfill` of --dir is deleted, before and after.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path

from _silver import AS_OF, write_silver
from _watch import Taken, watch

from offerlake.config import load_settings
from offerlake.session import open_session


def main() -> None:
    """Writes silver once, then times both sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="where the lake goes; taken away at the end")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--clicks", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    options = parser.parse_args()
    root = (options.dir / "backfill").resolve()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    spark = open_session(load_settings(["local"]).spark, app="backfill")
    lines = options.clicks // 10
    write_silver(spark, str(root), users=options.users, clicks=options.clicks, order_lines=lines)
    spark.stop()
    taken: dict[int, list[Taken]] = {1: [], options.days: []}
    for _ in range(options.repeat):
        for days, found in taken.items():
            shutil.rmtree(root / "gold", ignore_errors=True)
            only = ["--only", "build_activity", "--only", "build_features"]
            sets = ["--set", f"features.days={days}"]
            found.append(watch("run", *only, *sets, "--config", "local", "--as-of", str(AS_OF), "--lake", str(root)))
    shutil.rmtree(root)
    one, many = (statistics.median(each.seconds for each in taken[days]) for days in (1, options.days))
    answer = {
        "users": options.users,
        "clicks": options.clicks,
        "order_lines": lines,
        "days": options.days,
        "seconds_one_day": one,
        "seconds_all_days": many,
        "ratio": round(many / one, 2),
        "peak_mb_one_day": max(each.peak_mb for each in taken[1]),
        "peak_mb_all_days": max(each.peak_mb for each in taken[options.days]),
    }
    if options.json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        sys.stdout.writelines(f"{name:18} {value}\n" for name, value in answer.items())


if __name__ == "__main__":
    main()
