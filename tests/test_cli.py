"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from offerlake.cli.group import dumped

ROOT = Path(__file__).parents[1]
DAY = ["run", "--as-of", "2025-09-03"]
SHOP = ["simulate", "--landing", "in"]
ODD_WARMUP = ["--set", "simulate.warmup_days=50"]
SHORT_ROUND = ["--set", "simulate.round_days=7", "--set", "simulate.warmup_days=56"]
REAL = ["--data", "completejourney"]
NO_JAVA = {"PATH": str(Path(sys.executable).parent), "JAVA_HOME": ""}


def _offerlake(
    *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "offerlake", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def _error(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    content = json.loads(done.stdout)
    assert list(content) == ["error"]
    assert sorted(content["error"]) == ["fix", "kind", "message"]
    assert "Traceback" not in done.stderr
    return dict(content["error"])


def _cpu_seconds(*command: str) -> float:
    """CPU time of the fastest of three runs: what the machine does beside it does not count."""
    times = []
    for _ in range(3):
        before = os.times()
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(times)


def test_help_is_there_within_a_second() -> None:
    assert _cpu_seconds(sys.executable, "-m", "offerlake", "--help") < 1


def test_import_takes_no_time() -> None:
    begun = time.process_time()
    code = (
        "import sys, time; t = time.process_time(); import offerlake; took = time.process_time() - t;"
        "heavy = {'pyspark', 'torch', 'pandas', 'numpy', 'pydantic'} & set(sys.modules);"
        "sys.exit(f'{took} {heavy}' if took > 0.2 or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.process_time() - begun < 5


def test_help_loads_neither_spark_nor_settings() -> None:
    code = (
        "import sys; from offerlake.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(str({'pyspark', 'pydantic', 'torch', 'pandas'} & set(sys.modules)) if "
        "{'pyspark', 'pydantic', 'torch', 'pandas'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_has_help() -> None:
    listed = _offerlake("--help").stdout
    for command in ("run", "stream", "demo", "simulate", "doctor", "tables", "features", "show", "report", "config"):
        assert f" {command} " in listed
    assert "--as-of" in _offerlake("run", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "kind", "message", "fix"),
    [
        (["run"], "UsageError", "Missing option '--as-of'", "See offerlake run --help."),
        (["run", "--as-off", "2025-01-01"], "UsageError", "No such option: --as-off", "See offerlake run --help."),
        (["rum"], "UsageError", "No such command 'rum'", "See offerlake --help."),
        (["demo", "--data", "mine"], "UsageError", "'mine'", "See offerlake demo --help."),
        (["demo", "--users", "0"], "UsageError", "greater than or equal to 1", "See offerlake demo --help."),
        (["demo", "--lake", "s3://x"], "ConfigError", "--lake: got 's3://x'", "folder"),
        (["run", "--as-of", "soon"], "ConfigError", "as_of: got 'soon'", "2025-09-03"),
        ([*DAY, "--only", "ingst"], "ConfigError", "job 'ingst' does not exist", "ingest"),
        ([*DAY, "--set", "decide.budget=-5"], "ConfigError", "setting decide.budget: got -5", "0"),
        ([*DAY, "--set", "decide.budgt=5"], "ConfigError", "unknown setting decide.budgt", "decide.budget"),
        (["config", "check", "--config", "none.yaml"], "ConfigError", "settings file none.yaml", "exists"),
        (["show", "user_ofers"], "ConfigError", "table 'user_ofers' does not exist", "user_offers"),
        (["tables", "clics"], "ConfigError", "table 'clics' does not exist", "clicks"),
        ([*DAY, "--only", "ingest", "--to", "ingest"], "ConfigError", "--only beside --from or --to", "either"),
        ([*DAY, "--only", "ingest", "--from", "ingest"], "ConfigError", "--only beside --from or --to", "either"),
        ([*DAY, "--truth", "lake/known"], "ConfigError", "the truth: got lake/known, in the lake lake", "outside"),
        ([*SHOP, "--truth", "lake/known"], "ConfigError", "the truth: got lake/known, in the lake lake", "outside"),
        ([*SHOP, "--truth", "in"], "ConfigError", "the truth: got in, the landing folder", "of its own"),
        ([*SHOP, "--truth", "known", *ODD_WARMUP], "ConfigError", "simulate.warmup_days: got 50", "round_days, 14"),
        ([*SHOP, "--truth", "known", *SHORT_ROUND], "ConfigError", "simulate.round_days: got 7", "at least 14"),
        (["demo", *ODD_WARMUP], "ConfigError", "simulate.warmup_days: got 50", "round_days, 14"),
        (["demo", *REAL, "--users", "9"], "ConfigError", "--users: got 9 beside --data completejourney", "Leave it"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(arguments: list[str], kind: str, message: str, fix: str, tmp_path: Path) -> None:
    """Told before Spark starts, and so before it is missed that there is no Java."""
    done = _offerlake(*arguments, "--json", cwd=tmp_path, env=NO_JAVA)
    error = _error(done)
    assert done.returncode == 2
    assert error["kind"] == kind
    assert message in error["message"]
    assert fix in error["fix"]
    assert list(tmp_path.iterdir()) == []


def test_without_json_an_error_is_two_lines_on_stderr(tmp_path: Path) -> None:
    done = _offerlake("config", "check", "--set", "decide.budgt=5", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "ConfigError: --set: unknown setting decide.budgt\nDid you mean decide.budget?\n"


def test_without_java_it_says_what_to_install(tmp_path: Path) -> None:
    done = _offerlake("show", "users", "--json", cwd=tmp_path, env=NO_JAVA)
    error = _error(done)
    assert done.returncode == 1
    assert error["kind"] == "EnvironmentProblem"
    assert error["message"] == "Java: not found"
    assert "JDK 17" in error["fix"]


def test_no_report_yet(tmp_path: Path) -> None:
    done = _offerlake("report", "--lake", str(tmp_path / "lake"), "--json")
    assert done.returncode == 1
    assert _error(done)["kind"] == "MissingTableError"


def test_the_report_of_a_lake_on_this_machine_needs_no_spark(tmp_path: Path) -> None:
    reports = tmp_path / "lake" / "reports"
    reports.mkdir(parents=True)
    for name, changed in (("b.html", 1_000), ("a.html", 2_000), ("c.txt", 3_000)):
        (reports / name).touch()
        os.utime(reports / name, (changed, changed))
    done = _offerlake("report", "--lake", str(tmp_path / "lake"), "--json", env=NO_JAVA)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"report": str(reports / "a.html")})


def test_config_show_is_the_settings(tmp_path: Path) -> None:
    done = _offerlake(
        "config", "show", "--set", "run.seed=3", "--json", cwd=tmp_path, env={"OFFERLAKE__DECIDE__PRODUCTS": "2"}
    )
    content = json.loads(done.stdout)
    assert done.returncode == 0
    assert (content["run"]["seed"], content["decide"]["products"]) == (3, 2)
    plain = _offerlake("config", "show", "--set", "run.seed=3", cwd=tmp_path).stdout
    assert "\n  seed: 3\n" in plain
    assert _offerlake("config", "check", "--config", "demo", "--config", "local").returncode == 0


def test_tables_lists_contracts() -> None:
    content = json.loads(_offerlake("tables", "--json").stdout)
    assert content["user_offers"]["key"] == ["run_id", "user_id", "rank"]
    assert content["clicks"]["columns"][0] == {
        "name": "event_id", "type": "string", "null": False, "meaning": "the event",
    }  # fmt: skip
    assert "one event of one visitor" in _offerlake("tables").stdout
    assert "retention" not in _offerlake("tables", "clicks").stdout
    features = json.loads(_offerlake("features", "--json").stdout)
    assert features["cart_rate_84d"]["formula"] == "try_divide(carts_84d, views_84d)"
    markdown = _offerlake("tables", "--markdown").stdout
    assert markdown == (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")


def test_json_has_no_nan_and_keeps_letters() -> None:
    text = dumped({"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": "Käse"}, "e": Path("x")})
    assert json.loads(text) == {"a": None, "b": [1.5, None], "c": {"d": "Käse"}, "e": "x"}
    assert "Käse" in text


def test_a_bug_is_told_as_one_with_its_trace_on_stderr() -> None:
    code = (
        "from offerlake.cli import app, look\n"
        "@app.command('boom')\n"
        "def boom(json: bool = False):\n    print('noise'); raise KeyError('x')\n"
        "app(['boom', '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["kind"] == "KeyError"
    assert "Traceback" in done.stderr
    assert "noise" in done.stderr


@pytest.mark.processes
def test_json_stays_alone_on_stdout_while_spark_talks(tmp_path: Path) -> None:
    """A lake that is not there, read through a real JVM, which prints its own lines."""
    small = ["--set", "spark.master=local[1]", "--set", "spark.driver_memory=1g"]
    done = _offerlake("show", "users", "--lake", str(tmp_path / "lake"), *small, "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert _error(done)["message"].startswith("table users does not exist")


def test_expectations_are_checked_without_java(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("users: [{column: region, not_null: true, share: 0.5, severity: stop}]", encoding="utf-8")
    found = json.loads(_offerlake("quality", "check", str(file), "--json", env=NO_JAVA).stdout)
    said = {"name": "region_not_null", "severity": "stop", "expected": 'column: "region", share: 0.5, not_null: true'}
    assert found == {"ok": True, "tables": {"users": [said]}}
    own = _offerlake("quality", "check", env=NO_JAVA).stdout.splitlines()
    assert own[-1].endswith("tables are right.")
    assert any(line.startswith("order_lines.order_id_line_id_unique (stop): unique: ") for line in own)
    file.write_text("users: [{column: regoin, not_null: true}]", encoding="utf-8")
    done = _offerlake("quality", "check", str(file), "--json", env=NO_JAVA)
    assert done.returncode == 2
    assert _error(done)["fix"] == "Did you mean region?"
    run = _offerlake(*DAY, "--set", f"quality.expectations={file}", "--json", env=NO_JAVA)
    assert "unknown column 'regoin'" in _error(run)["message"], "told before Spark starts"
