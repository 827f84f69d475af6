"""How long a demo takes and how much memory, all its processes together; and what simulating takes as users grow.

    .venv/bin/python benchmarks/demo.py --dir out/bench [--users 20000] [--data shop|completejourney] [--json]

Linux only: it reads /proc. What is in the folder `demo` of --dir is deleted, before and after.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from _watch import watch

SHARES = (0.25, 0.5, 1.0, 2.0)  # of the users: simulated alone


def main() -> None:
    """Runs them one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="where lakes and feeds go; taken away at the end")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--data", choices=("shop", "completejourney"), default="shop")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    options = parser.parse_args()
    root = (options.dir / "demo").resolve()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    users = ["--users", str(options.users)] if options.data == "shop" else []
    demo = watch("demo", "--data", options.data, *users, "--lake", str(root / "lake"), "--json")
    found: dict[str, Any] = {"demo": {"seconds": demo.seconds, "peak_mb": demo.peak_mb}}
    for share in SHARES if options.data == "shop" else ():
        number = int(options.users * share)
        places = ["--landing", str(root / f"landing{number}"), "--truth", str(root / f"truth{number}")]
        alone = watch("simulate", "--users", str(number), *places, "--json")
        found[f"simulate {number} users"] = {"seconds": alone.seconds, "peak_mb": alone.peak_mb}
    shutil.rmtree(root)
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.writelines(f"{what:24} {x['seconds']:7.1f} s {x['peak_mb']:6d} MB\n" for what, x in found.items())


if __name__ == "__main__":
    main()
