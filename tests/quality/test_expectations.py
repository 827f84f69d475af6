"""The YAML of expectations: what it may say, and what a mistake in it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offerlake.config import QualitySettings, Settings, conf_dir, load_settings
from offerlake.errors import ConfigError
from offerlake.ledger import run_id_of
from offerlake.quality.expectations import load_expectations, parse_expectations
from offerlake.quality.judge import told
from quality.made import AS_OF


def parse(text: str, tmp_path: Path, days: int = 35) -> Any:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_expectations(QualitySettings(expectations=str(file), days=days))


def test_each_kind_has_its_name_its_share_and_its_words(tmp_path: Path) -> None:
    text = """
clicks:
  - {column: price, range: [0, null], severity: quarantine}
  - {column: channel, set: [web, app], share: 0.9}
  - {volume: {weeks: 4, low: 0.5, high: 2}, severity: stop}
  - {column: price, drift: 0.2, days: 7, weeks: 4, name: prices_as_before}
users:
  - {unique: [user_id, arrived_at]}
"""
    found = parse(text, tmp_path)
    assert [(each.name, each.kind, each.severity, each.least, each.reach) for each in found["clicks"]] == [
        ("price_range", "range", "quarantine", 1.0, 0),
        ("channel_set", "set", "warn", 0.9, 0),
        ("volume", "volume", "stop", 1.0, 29),
        ("prices_as_before", "drift", "warn", 1.0, 35),
    ]
    assert found["users"][0].name == "user_id_arrived_at_unique"
    assert [told(each) for each in found["clicks"][:2]] == [
        'column: "price", range: [0.0, null]',
        'column: "channel", share: 0.9, set: ["web", "app"]',
    ]


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("[1]", "mine.yaml: got list", "Write clicks: [{column: …, …}, …]."),
        ("clicks: [", "not YAML", "Mend the line it names."),
        ("click: []", "unknown table 'click'", "Did you mean clicks?"),
        ("quarantine: []", "unknown table 'quarantine'", "There are clicks, order_lines"),
        ("clicks: 3", "clicks: got 3", "Write a list"),
        ("clicks: [price]", "number 1: got 'price'", "Write {column: price, range: [0, 100]}."),
        ("clicks: [{colum: price, range: [0, 1]}]", "unknown key 'colum'", "Did you mean column?"),
        ("clicks: [{column: price}]", "got nothing to expect", "Give one of not_null, range, "),
        ("clicks: [{column: price, not_null: true, set: [1]}]", "got not_null and set", "Give one of "),
        ("clicks: [{column: price, not_null: false}]", "not_null: got False", "Input should be True."),
        ("clicks: [{column: prise, range: [0, 1]}]", "unknown column 'prise'", "Did you mean price?"),
        ("clicks: [{range: [0, 1]}]", "range without a column", "Say of which: column: price."),
        ("clicks: [{column: price, freshness_days: 2}]", "freshness_days of column price", "Leave column out."),
        ("clicks: [{column: query, range: [0, 1]}]", "range of query, which is text", "Give a column that is number."),
        ("clicks: [{column: event_time, set: [a]}]", "set of event_time, which is timestamp", "Give a column that is"),
        ("clicks: [{column: quantity, set: [1, one]}]", "set: got 'one'", "quantity is number."),
        ("clicks: [{column: known_product, set: [1]}]", "set: got 1", "known_product is yes or no."),
        ("clicks: [{column: price, range: [2, 1]}]", "range: got [2.0, 1.0]", "The lower end comes first."),
        ("clicks: [{column: price, range: [1]}]", "range.1: got", "Field required."),
        ("clicks: [{column: product_id, foreign_key: product.product_id}]", "unknown table", "Did you mean products?"),
        ("clicks: [{column: product_id, foreign_key: products.id}]", "unknown column 'id'", "There are product_id"),
        ("clicks: [{column: price, drift: 0.1, days: 7}]", "drift without days and weeks", "Write days: 7, weeks: 4."),
        ("clicks: [{freshness_days: 2, days: 3}]", "days or weeks beside freshness_days", "They are of drift."),
        ("clicks: [{freshness_days: 2, share: 0.5}]", "share beside freshness_days", "It is of not_null"),
        ("users: [{freshness_days: 2}]", "freshness_days of a table that is no log", "It is of clicks, order_lines"),
        ("clicks: [{volume: {weeks: 1, low: 3, high: 2}}]", "volume: low is above high", "Change them round."),
        ("clicks: [{column: price, not_null: true, share: 2}]", "share: got 2", "Input should be less than"),
        ("clicks: [{column: price, not_null: true, severity: halt}]", "severity: got 'halt'", "Input should be 'warn'"),
        ("clicks: [{unique: [event_id], severity: quarantine}]", "quarantine for unique", "Say warn or stop"),
        (
            "clicks: [{column: price, not_null: true, severity: quarantine, share: 0.5}]",
            "share beside quarantine",
            "Each row that breaks it goes.",
        ),
        (
            "clicks: [{column: known_product, set: [true], severity: quarantine}]",
            "quarantine for known_product, which comes in no feed",
            "Say warn or stop.",
        ),
        (
            "clicks: [{column: price, range: [0, 1]}, {column: price, range: [0, 9], severity: stop}]",
            "number 2: a second price_range",
            "Give it a name of its own by name:.",
        ),
        ("clicks: [{column: price, range: [0, 1], name: a=b}]", "name: got 'a=b'", "String should match"),
        (
            "clicks: [{volume: {weeks: 5, low: 0, high: 2}}]",
            "quality.days: 35, but clicks.volume looks back 36",
            "36 or",
        ),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(tmp_path: Path, text: str, message: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, tmp_path)
    assert message in caught.value.message
    assert fix in caught.value.fix


def test_a_file_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"quality\.expectations: 'nowhere'") as caught:
        load_expectations(QualitySettings(expectations="nowhere", days=35))
    assert caught.value.fix == "Give a YAML file, or one of default."


def test_every_shipped_file_is_right_and_nothing_may_be_expected() -> None:
    names = sorted(path.stem for path in (conf_dir() / "expectations").glob("*.yaml"))
    assert "default" in names
    for name in names:
        settings = load_settings([], [f"quality.expectations={name}"], env={})
        assert load_expectations(settings.quality)
    assert load_expectations(QualitySettings(expectations=None, days=1)) == {}


def test_other_expectations_are_another_run(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    mine = settings.model_copy(update={"quality": QualitySettings(expectations=str(file), days=35)})
    ids = []
    for limit in (1, 2, 1):
        file.write_text(f"clicks: [{{column: price, range: [0, {limit}]}}]", encoding="utf-8")
        ids.append(run_id_of(mine, AS_OF))
    assert ids[0] == ids[2] != ids[1]
    assert parse_expectations({}, where="x") == {}
