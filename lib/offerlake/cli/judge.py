"""`offerlake rank-eval`, `offerlake uplift-eval`: judges of anybody's results, on any files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from offerlake.cli.group import Answer
from offerlake.cli.options import Config, Json, Sets


def rank_eval(
    recommendations: Annotated[
        str, typer.Option("--recommendations", metavar="FILE", help="user_id, product_id, and rank or score.")
    ],
    truth: Annotated[
        str, typer.Option("--truth", metavar="FILE", help="user_id, product_id; relevance where it is graded.")
    ],
    k: Annotated[str, typer.Option("--k", metavar="K,K", help="How many of the first places count.")] = "5,10,20",
    history: Annotated[
        str | None, typer.Option("--history", metavar="FILE", help="user_id, product_id: who had what before.")
    ] = None,
    products: Annotated[
        str | None, typer.Option("--products", metavar="FILE", help="product_id, category: the catalogue.")
    ] = None,
    segments: Annotated[str | None, typer.Option("--segments", metavar="FILE", help="user_id, segment.")] = None,
    count_empty_truth: Annotated[
        bool, typer.Option("--count-empty-truth", help="Users without truth count 0, as in Spark's RankingMetrics.")
    ] = False,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Judge recommendations by what users then did: on Parquet, CSV, JSON lines or Delta, whoever made them.

    Means are over users with at least one truth item; one of them without a recommendation counts 0. Ties are broken by
    product_id. Intervals are 95 %, by the bootstrap over users (evaluate.bootstrap samples).
    """
    from offerlake.config import load_settings
    from offerlake.errors import ConfigError, DataError

    settings = load_settings(config or [], sets or [])
    if not all(part.strip().isdecimal() and int(part) >= 1 for part in k.split(",")):
        raise ConfigError(f"--k: got {k!r}", fix="Give whole numbers from 1, such as 5,10,20.")
    from offerlake.evaluate.rank_eval import Beside, judge
    from offerlake.given import read_given
    from offerlake.session import open_session

    spark = open_session(settings.spark, app="rank-eval")
    pair = {"user_id": "string", "product_id": "string"}
    places = {"rank": "int", "score": "double"}
    given = read_given(spark, recommendations, pair | places, option="--recommendations", optional=[*places])
    if "rank" not in given.columns and "score" not in given.columns:
        raise DataError(f"--recommendations: {recommendations} has neither rank nor score", fix="Add one of them.")
    kinds, parts = {"product_id": "string", "category": "string"}, {"user_id": "string", "segment": "string"}
    found = judge(
        given,
        read_given(spark, truth, pair | {"relevance": "double"}, option="--truth", optional=["relevance"]),
        ks=[int(part) for part in k.split(",")],
        beside=Beside(
            history=read_given(spark, history, pair, option="--history") if history else None,
            products=read_given(spark, products, kinds, option="--products", optional=["category"])
            if products
            else None,
            segments=read_given(spark, segments, parts, option="--segments") if segments else None,
        ),
        count_empty_truth=count_empty_truth,
        samples=settings.evaluate.bootstrap,
        seed=settings.run.seed,
    )
    if not json:
        _print(found)
    return Answer(found)


def uplift_eval(
    data: Annotated[str, typer.Option("--data", metavar="FILE", help="One row an exposure.")],
    score: Annotated[str, typer.Option("--score", metavar="COLUMN", help="What orders people; large is first.")],
    treatment: Annotated[str, typer.Option("--treatment", metavar="COLUMN", help="1: treated, 0: not.")],
    outcome: Annotated[str, typer.Option("--outcome", metavar="COLUMN", help="Such as responded, or margin.")],
    propensity: Annotated[
        str | None, typer.Option("--propensity", metavar="COLUMN", help="Probability of the arm that the row got.")
    ] = None,
    mu0: Annotated[
        str | None, typer.Option("--mu0", metavar="COLUMN", help="Outcome expected without the treatment.")
    ] = None,
    mu1: Annotated[str | None, typer.Option("--mu1", metavar="COLUMN", help="Outcome expected with it.")] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="COLUMN", help="Whose rows are drawn together: the user.")
    ] = None,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Judge how well a score orders people by what a treatment changes: Qini, AUUC, uplift at k, on any file.

    By doubly robust scores, so right for unequal propensities; per person and not normalised. Without --propensity the
    share of the treated is taken. Intervals are 95 %, by the bootstrap over clusters, else rows (evaluate.bootstrap
    samples).
    """
    from offerlake.config import load_settings
    from offerlake.errors import ConfigError

    settings = load_settings(config or [], sets or [])
    named = {"score": score, "treatment": treatment, "outcome": outcome, "propensity": propensity}
    named |= {"mu0": mu0, "mu1": mu1, "cluster": cluster}
    columns = {role: column for role, column in named.items() if column is not None}
    for role, column in columns.items():
        first = next(name for name, other in columns.items() if other == column)
        if first != role:
            raise ConfigError(f"--{role}: {column} is --{first} already", fix="Name a column of its own for each.")
    from offerlake.evaluate.uplift_curves import judge
    from offerlake.given import read_given
    from offerlake.session import open_session

    spark = open_session(settings.spark, app="uplift-eval")
    wanted = {column: "string" if role == "cluster" else "double" for role, column in columns.items()}
    given = read_given(spark, data, wanted, option="--data")
    rows = given.select(*[given[f"`{column}`"].alias(role) for role, column in columns.items()])
    found = judge(rows, samples=settings.evaluate.bootstrap, seed=settings.run.seed)
    if not json:
        _print(found)
    return Answer(found)


def _print(found: Mapping[str, Any]) -> None:
    parts = {"all": found, "cold": found.get("cold"), **found.get("segments", {})}
    for part, numbers in parts.items():
        if not numbers:
            continue
        typer.echo(part)
        for name, value in numbers.items():
            if isinstance(value, Mapping) or name.endswith(("_low", "_high")):
                continue
            low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
            shown = "-" if value is None else f"{value}" if isinstance(value, int) else f"{value:.4f}"
            typer.echo(f"  {name:32} {shown}" + ("" if low is None else f"  [{low:.4f}, {high:.4f}]"))
