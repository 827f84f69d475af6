"""The commands that README, CONTRIBUTING and docs tell a reader to type: each exists, with its options."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from offerlake.cli import app
from offerlake.job import add_run_options

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def _lines() -> list[tuple[str, str]]:
    """(page, command) of every line in a bash block, and of every `offerlake …` in a table's first column."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"^\| `(offerlake [^`]+)`", text, re.MULTILINE)
        found += [(page.name, line.strip()) for line in lines if line.strip() and not line.strip().startswith("#")]
    return found


def test_readme_has_the_two_commands_first() -> None:
    commands = [line for page, line in _lines() if page == "README.md"]
    assert commands[:2] == ["make demo", "make test"]
    assert len(commands) > 8


@pytest.mark.parametrize(("page", "line"), _lines())
def test_a_command_exists_and_takes_its_options(page: str, line: str) -> None:
    words = shlex.split(re.sub(r"\$\([^)]*\)", "value", line))
    while "=" in words[0]:
        words.pop(0)
    program, arguments = Path(words[0]).name, words[1:]
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(arguments) <= set(targets), page
    elif program == "offerlake":
        _parsed(arguments)
    elif program == "spark-submit":
        job = next(word for word in arguments if word.endswith(".py"))
        assert (ROOT / job).is_file()
        parser = argparse.ArgumentParser()
        add_run_options(parser)
        assert parser.parse_args(arguments[arguments.index(job) + 1 :]).as_of
    elif program.startswith("python"):
        target = arguments[1] if arguments[0] == "-m" else arguments[0]
        path = Path("lib", *target.split(".")) if arguments[0] == "-m" else Path(target)
        assert (ROOT / path).is_file() or (ROOT / path).with_suffix(".py").is_file(), page
    else:
        local = program in {"pytest", "pre-commit"} and words[0].startswith(".venv/bin/")
        assert local or (ROOT / words[0]).is_file(), f"{page}: {line}"


def _parsed(arguments: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("offerlake", list(arguments), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        _, command, arguments = command.resolve_command(context, arguments)
        context = command.make_context(command.name, list(arguments), parent=context)
    assert context.command is command


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [
        page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index and page.name != "README.md"
    ] == []
