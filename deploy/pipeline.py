"""The command `offerlake` as a file, for spark-submit: `spark-submit … deploy/pipeline.py run --as-of 2025-09-03`."""

from __future__ import annotations

from offerlake.cli import app

if __name__ == "__main__":
    app()
