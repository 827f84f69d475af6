"""The report's tables: facts in the order and the words in which they are shown."""

from __future__ import annotations

from typing import Any

from offerlake.evaluate import words
from offerlake.evaluate.facts import Facts, Group, Number
from offerlake.schemas.gold import OFFER_CONTEXT_COLUMNS, USER_FEATURE_COLUMNS

MOST = 25
"""Rows of a table whose length is up to the data."""

ENGINES = (
    ("gbt", "gbt", "Boosted trees"),
    ("xgboost", "xgboost", "Boosted trees (XGBoost)"),
    ("logistic", "lr", "Logistic regression"),
)
"""Engine, its name in metrics, its name in words."""
RANKINGS = (
    ("Offerlake, ordered again by trees", "recommend.rerank"),
    ("Offerlake", "recommend"),
    ("Tastes alone (ALS)", "recommend.als"),
    ("The customer's own habit", "recommend.own"),
    ("What people like the customer buy", "recommend.popularity_in_groups"),
    ("What everybody buys", "recommend.popularity"),
)


def span(number: Number) -> str:
    """An interval of money, both ends with as many digits."""
    if number.low is None or number.high is None:
        return "–"
    digits = 2 if max(abs(number.low), abs(number.high)) < 1000 else 0
    return f"{words.number(number.low, digits)} to {words.number(number.high, digits)}"


def points_span(number: Number) -> str:
    """An interval of a difference of shares."""
    return "–" if number.low is None else f"{words.points(number.low)} to {words.points(number.high)}"


def percent_span(number: Number) -> str:
    """An interval of a share."""
    return "–" if number.low is None else f"{words.percent(number.low)} to {words.percent(number.high)}"


def tiles(facts: Facts) -> list[dict[str, str]]:
    """The four numbers on top."""
    users = sum(group.users for group in facts.groups)
    given = sum(group.users for group in facts.groups if group.offer_id is not None)
    limit, spend = facts.metric("offers.budget").value, facts.metric("offers.spend").value
    gain, truth = facts.metric("offers.value_dr"), facts.metric("published.true_value").value
    measured = gain.value is not None
    return [
        {
            "label": "Customers with an offer",
            "big": words.number(given),
            "more": f"of {words.number(users)} ({words.percent(given / users)})" if users else "of none",
        },
        {
            "label": "Expected cost",
            "big": words.money(spend),
            "more": "no budget known" if limit is None else f"of a budget of {words.money(limit)}",
        },
        {
            "label": "Extra margin, measured",
            "big": words.money(gain.value) if measured else "not known",
            "more": f"95 % interval {span(gain)}" if measured else "needs customers held out at random",
        },
        {
            "label": "Extra margin, true",
            "big": words.money(truth),
            "more": "of the offers as handed over; known in a test shop only",
        }
        if truth is not None
        else {
            "label": "Response model",
            "big": words.percent(facts.metric("response.auc").value),
            "more": "AUC: 50 % is guessing, 100 % is never wrong",
        },
    ]


def budget(facts: Facts) -> dict[str, Any]:
    """Spend and budget."""
    limit, spend = facts.metric("offers.budget").value, facts.metric("offers.spend").value
    share = spend / limit if limit and spend is not None else None
    return {"limit": limit, "spend": spend, "share": share, "width": round(100 * min(1.0, share), 1) if share else 0}


def worth(facts: Facts) -> list[dict[str, Any]]:
    """What the offers bring, by whom it is said; empty without a control group."""
    past, customers = facts.metric("offers.dr_rows").value, facts.metric("offers.dr_users").value
    base = "From past offers drawn by lot"
    if past is not None and customers is not None:
        base = f"From {words.number(past)} past offers to {words.number(customers)} customers, drawn by lot"
    rows = [
        ("Measured estimate", "offers.value_dr", f"{base}. The one to believe."),
        (
            "The models' own sum",
            "offers.value_model",
            "Always too rosy, because the choice falls on what is overrated. Do not promise it to anybody.",
        ),
        ("The truth", "published.true_value", "As handed over, random choices included. Known in a test shop only."),
    ]
    found: list[dict[str, Any]] = [
        {"label": label, "number": facts.metric(name), "meaning": meaning} for label, name, meaning in rows
    ]
    if found[0]["number"].value is None and not facts.has_control:
        return []
    return [row for row in found if row["number"].value is not None]


def arms(facts: Facts) -> list[dict[str, Any]]:
    """Customers by arm."""
    users = sum(group.users for group in facts.groups)
    return [
        {
            "label": label,
            "users": _sum(groups, "users"),
            "share": _sum(groups, "users") / users,
            "given": sum(group.users for group in groups if group.offer_id is not None),
            "cost": _sum(groups, "cost"),
            "value": _sum(groups, "value"),
        }
        for arm, label in words.ARMS.items()
        if (groups := [group for group in facts.groups if group.arm == arm])
    ]


def given(facts: Facts) -> list[dict[str, Any]]:
    """Offers given, the most frequent first."""
    by_offer: dict[str, list[Group]] = {}
    for group in facts.groups:
        if group.offer_id is not None:
            by_offer.setdefault(group.offer_id, []).append(group)
    rows = [
        {
            "offer_id": offer_id,
            "label": words.offer(groups[0].kind, groups[0].depth),
            "channels": ", ".join(sorted({group.channel or "any" for group in groups})),
            "model": sum(group.users for group in groups if group.arm == "model"),
            "explore": sum(group.users for group in groups if group.arm == "explore"),
            "cost": _sum(groups, "cost"),
            "each": _sum(groups, "cost") / _sum(groups, "users"),
        }
        for offer_id, groups in by_offer.items()
    ]
    return sorted(rows, key=lambda row: (-row["model"] - row["explore"], row["offer_id"]))


def silent(facts: Facts) -> list[dict[str, Any]]:
    """Why customers of the model's arm get nothing."""
    return [{"reason": words.SILENT.get(code, code or "Not said"), "users": n} for code, n in facts.silent.items()]


def examples(facts: Facts) -> list[dict[str, Any]]:
    """A few customers, with reasons in words."""
    return [
        {
            "user_id": row.user_id,
            "offer_id": row.offer_id,
            "label": words.offer(row.kind, row.depth),
            "why": words.reasons(row.reasons),
            "products": row.products,
        }
        for row in facts.examples
    ]


def shares(facts: Facts) -> list[dict[str, Any]]:
    """Shares of the oracle; empty without a known truth."""
    rows: list[dict[str, Any]] = [
        {"label": label, "number": facts.metric(f"oracle_share.{name}")} for name, label in words.POLICIES.items()
    ]
    return rows if rows[0]["number"].value is not None else []


def published(facts: Facts) -> dict[str, Number] | None:
    """The assignment as handed over, against the truth; None where it is not known."""
    value = facts.metric("published.true_value")
    if value.value is None:
        return None
    return {
        "value": value,
        "spend": facts.metric("published.true_spend"),
        "share": facts.metric("published.oracle_share"),
    }


def responses(facts: Facts) -> list[dict[str, Any]]:
    """The models of who responds, that in use first."""
    engines = sorted(ENGINES, key=lambda engine: -(facts.metric("response.chosen", f"engine={engine[0]}").value or 0))
    rows = [
        *(
            (words_of + (", in use" if place == 0 else ""), f"response.{name}")
            for place, (_, name, words_of) in enumerate(engines)
        ),
        ("The one in use, on days kept for a test", "response.test"),
        ("Deep model", "deep"),
    ]
    found: list[dict[str, Any]] = [
        {
            "label": label,
            "auc": facts.metric(f"{name}.auc"),
            "log_loss": facts.metric(f"{name}.log_loss"),
            "brier": facts.metric(f"{name}.brier"),
        }
        for label, name in rows
    ]
    return [row for row in found if row["auc"].value is not None]


_USES = {
    "all": "offers sent, or deliberately none, whose outcome is known",
    "train": "taught the models that were compared",
    "validation": "later ones compared and calibrated them",
    "fit": "taught the one in use",
    "test": "were kept for the test",
    "straddling": "left out: their outcome was open when the test began",
    "no_history": "left out: sent before anybody had bought or visited",
}


def uses(facts: Facts) -> list[dict[str, Any]]:
    """What the rows were used for that the response models learn from, and which were left out; without zeros."""
    found = [(words_of, facts.metric("response.rows", f"use={use}").value) for use, words_of in _USES.items()]
    return [{"label": words_of, "rows": rows} for words_of, rows in found if rows]


def rankings(facts: Facts) -> list[dict[str, Any]]:
    """The ways to pick products, ours first; `lift` is how many times the popular products' NDCG each has."""
    popular = facts.metric(f"{RANKINGS[-1][1]}.ndcg@10").value
    rows: list[dict[str, Any]] = [
        {
            "label": label,
            "ndcg": ndcg,
            "lift": ndcg.value / popular if popular else None,
            "recall": facts.metric(f"{name}.recall@10"),
            "hits": facts.metric(f"{name}.hit_rate@10"),
            "users": facts.metric(f"{name}.users").value,
        }
        for label, name in RANKINGS
        if (ndcg := facts.metric(f"{name}.ndcg@10")).value is not None
    ]
    return rows


def importances(facts: Facts) -> list[dict[str, Any]]:
    """What the response model looks at, most first: a column, what it is, and its mean change of the log odds."""
    meanings = {column.name: column.meaning for column in (*USER_FEATURE_COLUMNS, *OFFER_CONTEXT_COLUMNS)}
    found = {
        part.partition("=")[2]: number.value or 0.0
        for (name, part), number in facts.metrics.items()
        if name == "response.importance" and part != "all"
    }
    most = sorted(found, key=lambda name: (-found[name], name))[:15]
    return [{"column": name, "meaning": meanings.get(name, ""), "change": found[name]} for name in most if found[name]]


def rankings_by_kind(facts: Facts) -> list[dict[str, Any]]:
    """Ours beside the popular products for kinds of customers: by what they had done before, and by their group."""
    parts = {part for name, part in facts.metrics if name == "recommend.ndcg@10" and part != "all"}
    rows = []
    for part in sorted(parts)[:MOST]:
        ours, popular = (facts.metric(f"{name}.ndcg@10", part) for name in ("recommend", RANKINGS[-1][1]))
        rows.append(
            {
                "label": part.partition("=")[2],
                "users": facts.metric("recommend.users", part).value,
                "ndcg": ours,
                "hits": facts.metric("recommend.hit_rate@10", part),
                "popular": popular,
            }
        )
    return rows


def picks(facts: Facts) -> dict[str, Any] | None:
    """How far recommendations reach, and a few customers; None where there are none."""
    found = facts.picks
    if found is None or not found.users:
        return None
    total = sum(found.sources.values())
    return {
        "picks": found,
        "coverage": found.products / found.catalogue if found.catalogue else None,
        "sources": [
            {"label": words.SOURCES[name], "number": number, "share": number / total}
            for name, number in found.sources.items()
            if number
        ],
        "customers": [
            {
                "user_id": row.user_id,
                "bought": row.bought,
                "got": [(product, words.SOURCES[source]) for product, source in row.got],
            }
            for row in found.customers
        ],
    }


def calibration(facts: Facts) -> list[tuple[float, Number]]:
    """Predicted probability and share that responded, with its interval, of groups of customers, ascending."""
    pairs = [
        (predicted.value, facts.metric("response.bin", part))
        for (name, part), predicted in facts.metrics.items()
        if name == "response.bin_predicted"
    ]
    return sorted(((p, y) for p, y in pairs if p is not None and y.value is not None), key=lambda pair: pair[0])


def effects(facts: Facts) -> list[dict[str, Any]]:
    """What offers changed so far by the randomised examples: all together first, then by offer, largest first."""
    rows: list[dict[str, Any]] = [
        {"label": part.removeprefix("offer="), "number": number, "all": part == "all"}
        for (name, part), number in facts.metrics.items()
        if name == "uplift.ate" and number.value is not None
    ]
    for row in rows:
        if row["all"]:
            row["label"] = "All offers together"
    return sorted(rows, key=lambda row: (not row["all"], -row["number"].value, row["label"]))


def ruled_out(facts: Facts) -> list[dict[str, Any]]:
    """Pairs of customer and offer that a hard rule refused, by rule."""
    rows = [
        {"reason": words.RULES.get(part.removeprefix("rule="), part.removeprefix("rule=")), "pairs": number.value}
        for (name, part), number in sorted(facts.metrics.items())
        if name == "offers.pairs" and part != "rule=passed" and number.value
    ]
    return sorted(rows, key=lambda row: -(row["pairs"] or 0))


def feeds(facts: Facts) -> list[dict[str, Any]]:
    """The feeds, each with the share rejected."""
    return [
        {
            "label": words.FEEDS.get(feed.name, feed.name),
            "feed": feed,
            "share": feed.rejected / feed.received if feed.received else None,
        }
        for feed in facts.feeds
    ]


def columns(facts: Facts) -> list[dict[str, Any]]:
    """Columns of the feeds that came or changed."""
    return [
        {
            "feed": words.FEEDS.get(row.feed, row.feed),
            "column": row.column,
            "what": words.column_change(row.type, row.before),
            "since": row.since,
        }
        for row in facts.columns
    ]


def rejections(facts: Facts) -> list[dict[str, Any]]:
    """Why records were rejected."""
    return [
        {
            "feed": words.FEEDS.get(row.feed, row.feed),
            "reason": words.REJECTIONS.get(row.code, row.code or "Not said"),
            "records": row.records,
        }
        for row in facts.rejections
    ]


def _sum(groups: list[Group], name: str) -> Any:
    return sum(getattr(group, name) for group in groups)
