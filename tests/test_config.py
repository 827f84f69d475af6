"""Settings: their order, their types, and what a typo is told."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from offerlake.config import Settings, conf_dir, load_settings
from offerlake.errors import ConfigError
from offerlake.schemas import TABLES

ROOT = Path(__file__).parents[1]


def test_later_sources_win_one_setting_at_a_time(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("decide: {budget: 5, holdout_share: 0.1}\nrun: {seed: 1}\n", encoding="utf-8")
    env = {"OFFERLAKE__DECIDE__HOLDOUT_SHARE": "0.2", "OFFERLAKE__RUN__SEED": "2", "UNRELATED__RUN": "x"}

    settings = load_settings([overlay], ["run.seed=3"], env=env)

    assert settings.decide.budget == 5.0
    assert settings.decide.holdout_share == 0.2
    assert settings.run.seed == 3
    assert settings.decide.explore_share == load_settings(env={}).decide.explore_share


def test_an_overlay_has_a_name_in_conf_or_is_a_file() -> None:
    assert load_settings(["local"], env={}).spark.master == "local[2]"
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        load_settings(["nowhere.yaml"], env={})


def test_every_shipped_overlay_is_right() -> None:
    names = sorted(path.stem for path in conf_dir().glob("*.yaml") if path.stem != "base")
    assert {"completejourney", "demo", "local"} <= set(names)
    assert [load_settings([name], env={}).run.seed for name in names] == [7] * len(names)


@pytest.mark.parametrize(
    ("overlay", "sets", "env", "wrong", "right"),
    [
        ("decide: {budgt: 1}", [], {}, "decide.budgt", "decide.budget"),
        ("deside: {budget: 1}", [], {}, "deside", "decide"),
        ("", ["deep.epoch=1"], {}, "deep.epoch", "deep.epochs"),
        ("", [], {"OFFERLAKE__RUN__SED": "1"}, "run.sed", "run.seed"),
    ],
)
def test_an_unknown_setting_names_the_nearest(
    tmp_path: Path, overlay: str, sets: list[str], env: dict[str, str], wrong: str, right: str
) -> None:
    file = tmp_path / "over.yaml"
    file.write_text(overlay or "{}", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings([file], sets, env=env)
    assert f"unknown setting {wrong}" in caught.value.message
    assert caught.value.fix == f"Did you mean {right}?"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("decide.budget=-1", "decide.budget"),
        ("decide.budget=.nan", "decide.budget"),
        ("decide.holdout_share=1", "decide.holdout_share"),
        ("examples.horizon_days=0", "examples.horizon_days"),
        ("response.label=bought", "response.label"),
        ("response.folds=1", "response.folds"),
        ("run.seed=many", "run.seed"),
        ("clean.bot_agents='('", "clean.bot_agents"),
        ("quality.days=0", "quality.days"),
        ("deep.hidden=[0]", "deep.hidden.0"),
        ("simulate.products=2005", "simulate.products"),
        ("segments.k_min=7", "segments"),
        ("segments.methods=[]", "segments.methods"),
        ("clv.discount_rate=1", "clv.discount_rate"),
    ],
)
def test_a_value_out_of_range_is_named(text: str, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings([], [text], env={})
    assert caught.value.message.startswith(f"setting {name}: got ")
    assert caught.value.fix


@pytest.mark.parametrize("text", ["decide.budget", "=", "decide=3"])
def test_a_set_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        load_settings([], [text], env={})


def test_a_file_that_is_not_settings_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("- 1\n- 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="got list"):
        load_settings([file], env={})
    file.write_text("run: {seed: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="not YAML"):
        load_settings([file], env={})


def test_names_of_the_users_own_are_open() -> None:
    settings = load_settings([], ["decide.contact_cost.pigeon=2", "spark.conf={spark.x: '1'}"], env={})
    assert settings.decide.contact_cost["pigeon"] == 2
    assert settings.decide.contact_cost["sms"] == 0.06
    assert settings.spark.conf == {"spark.x": "1"}


def test_what_kafka_s_client_is_told_is_never_shown() -> None:
    name = "OFFERLAKE__INGEST__KAFKA__OPTIONS"
    settings = load_settings(env={name: "{sasl.jaas.config: pa55word, retries: 3}"})
    kafka = settings.ingest.kafka
    assert {key: value.get_secret_value() for key, value in kafka.options.items()} == {
        "sasl.jaas.config": "pa55word",
        "retries": "3",
    }
    assert "pa55word" not in settings.model_dump_json() + repr(settings)
    assert settings.hash == load_settings(env={}).hash
    for wrong in ("{sasl.jaas.config: [pa55word]}", "pa55word"):
        with pytest.raises(ConfigError) as caught:
            load_settings(env={name: wrong})
        assert "ingest.kafka.options" in caught.value.message
        assert "pa55word" not in caught.value.message + caught.value.fix


@pytest.mark.parametrize(
    ("truth", "lake", "landing", "place"),
    [
        ("lake", "lake", "in", "in the lake lake"),
        ("lake/known", "./lake/", "in", "in the lake ./lake/"),
        ("out/../lake/known", "lake", "in", "in the lake lake"),
        ("file:///data/lake/known", "/data/lake", "in", "in the lake /data/lake"),
        ("/data/lake/known", "file:/data/lake", "in", "in the lake file:/data/lake"),
        ("s3a://shop/lake/known", "s3a://shop/lake", "in", "in the lake s3a://shop/lake"),
        ("s3a://shop/in/", "lake", "s3a://shop/in", "the landing folder"),
        ("./in/", "lake", "in", "the landing folder"),
    ],
)
def test_the_truth_lies_in_neither_lake_nor_landing(truth: str, lake: str, landing: str, place: str) -> None:
    sets = [f"evaluate.truth={truth}", f"run.lake={lake}", f"run.landing={landing}"]
    with pytest.raises(ConfigError) as caught:
        load_settings([], sets, env={})
    assert caught.value.message == f"the truth: got {truth}, {place}"
    assert caught.value.fix.startswith("Give a folder ")


@pytest.mark.parametrize("truth", ["lake-truth", "../lake", "known", "in/known", "s3a://other/lake/known"])
def test_the_truth_may_lie_beside_them(truth: str) -> None:
    sets = [f"evaluate.truth={truth}", "run.lake=lake", "run.landing=in"]
    assert load_settings([], sets, env={}).evaluate.truth == truth


def test_settings_are_frozen() -> None:
    settings = load_settings(env={})
    with pytest.raises(ValueError, match="frozen"):
        settings.decide.budget = 3  # type: ignore[misc]


def test_the_hash_is_of_what_changes_results_only() -> None:
    base = load_settings(env={}).hash
    assert load_settings([], ["run.lake=elsewhere", "spark.shuffle_partitions=3"], env={}).hash == base
    assert load_settings([], ["run.seed=8"], env={}).hash != base
    assert load_settings([], ["decide.budget=8"], env={}).hash != base


def test_base_yaml_comments_are_beside_their_settings() -> None:
    """Every line of base.yaml that sets something is a section, has a comment, or follows one that has."""
    lines = (conf_dir() / "base.yaml").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if line.startswith("  ")]
    assert sum("#" in line for line in settings) / len(settings) > 0.8


def test_every_setting_has_a_reader() -> None:
    """In lib or jobs something reads `….<setting>`, or a contract names it."""
    read = {contract.retention for contract in TABLES.values()}
    for folder in (ROOT / "lib", ROOT / "jobs"):
        for path in folder.rglob("*.py"):
            if path.name != "config.py":
                read |= _read_of_settings(ast.parse(path.read_text(encoding="utf-8")))
    unread = [f"{section}.{name}" for section, name in _leaves() if name not in read]
    assert unread == []


def test_base_yaml_has_every_setting_and_no_other() -> None:
    tree = yaml.safe_load((conf_dir() / "base.yaml").read_text(encoding="utf-8"))
    assert {(section, name) for section, part in tree.items() for name in part} == set(_leaves())


def _leaves() -> list[tuple[str, str]]:
    sections = Settings.model_fields.items()
    leaves = []
    for section, field in sections:
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        leaves += [(section, name) for name in kind.model_fields]
    return leaves


def _read_of_settings(tree: ast.AST) -> set[str]:
    """Names read from what holds settings: by its name, by its annotation, or by what was assigned to it."""
    holders = {"settings", *Settings.model_fields}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and _last(node.annotation).endswith("Settings"):
            holders.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and _last(node.annotation).endswith("Settings"):
            holders.add(_last(node.target))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target, value in _pairs(node):
                if _last(value) in holders and _last(target):
                    holders.add(_last(target))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _last(node.value) in holders}


def _pairs(node: ast.Assign) -> list[tuple[Any, Any]]:
    target = node.targets[0]
    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
        return list(zip(target.elts, node.value.elts, strict=False))
    return [(target, node.value)]


def _last(node: Any) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
