"""The report: one HTML page, self-contained, that people who sell things understand."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import jinja2
from markupsafe import Markup

from offerlake.evaluate import checks, customers, figures, views, words
from offerlake.evaluate.facts import Facts
from offerlake.evaluate.figures import Picture


@dataclass(frozen=True)
class Verdict:
    """A sentence that has to be read; `tone` is good, bad or empty."""

    title: str
    text: str
    tone: str = ""


def render(facts: Facts) -> str:
    """The page. Whatever comes from data is escaped; nothing is loaded from elsewhere."""
    folder = resources.files("offerlake.evaluate") / "templates"
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
    )
    environment.filters |= {
        "number": words.number,
        "money": words.money,
        "percent": words.percent,
        "points": words.points,
        "day": words.day,
        "span": views.span,
        "percent_span": views.percent_span,
        "points_span": views.points_span,
    }
    given, promises, effects = views.given(facts), facts.promises, views.effects(facts)
    page: str = environment.get_template(
        "report.html.j2"
    ).render(
        css=Markup((folder / "style.css").read_text(encoding="utf-8")),  # noqa: S704  our own file
        facts=facts,
        tiles=views.tiles(facts),
        verdict=verdict(facts),
        intake=intake(facts),
        budget=views.budget(facts),
        worth=views.worth(facts),
        unsupported=facts.metric("offers.dr_unsupported").value,
        arms=views.arms(facts),
        given=given[: views.MOST],
        given_more=max(0, len(given) - views.MOST),
        silent=views.silent(facts),
        promises=promises[: views.MOST],
        promises_more=max(0, len(promises) - views.MOST),
        ruled_out=views.ruled_out(facts),
        examples=views.examples(facts),
        effects=effects[: views.MOST],
        effects_more=max(0, len(effects) - views.MOST),
        stages=[{"label": words.STAGES[stage.name], "stage": stage} for stage in facts.stages],
        foreseen=customers.foreseen(facts),
        shares=views.shares(facts),
        published=views.published(facts),
        responses=views.responses(facts),
        uses=views.uses(facts),
        slope=facts.metric("response.calibration_slope"),
        importances=views.importances(facts),
        rankings=views.rankings(facts),
        rankings_by_kind=views.rankings_by_kind(facts),
        picks=views.picks(facts),
        feeds=views.feeds(facts),
        rejections=views.rejections(facts),
        quality=quality(facts),
        unmet=checks.unmet(facts.checks),
        columns=views.columns(facts),
        jobs=[{"label": words.job(run.job), "run": run} for run in facts.jobs],
        pictures=pictures(facts),
    )
    return page


def verdict(facts: Facts) -> Verdict:
    """What may be said of the offers' worth, and no more."""
    gain, least = facts.metric("offers.value_dr"), facts.metric("offers.mde").value
    if gain.value is None or gain.low is None or gain.high is None:
        if facts.has_control:
            return Verdict(
                "What the offers bring could not be measured in this run.",
                "It takes past offers that were drawn by lot, some customers getting nothing among them.",
            )
        return Verdict(
            "Nothing here is incremental.",
            "In these data nobody was left without an offer by lot. So nobody can say what customers would have bought "
            "anyway, nor what the offers add. Offers are ranked by how likely they are to be used and what such an "
            "order earns; that is no extra margin. Hold some customers out at random, and the next report can tell.",
            "bad",
        )
    estimate = f"The estimate is {words.money(gain.value)}, the 95 % interval {views.span(gain)}."
    shown = "" if least is None else f" Effects below about {words.money(least)} would mostly stay unseen."
    if gain.low > 0:
        return Verdict("The offers bring extra margin.", estimate + shown, "good")
    if gain.high < 0:
        return Verdict("The offers lose money.", estimate + " Better send none of them.", "bad")
    return Verdict("No gain is proven.", f"{estimate} It includes 0.{shown}")


def intake(facts: Facts) -> Verdict:
    """Whether every record is accounted for, and which feeds are missing."""
    received = sum(feed.received for feed in facts.feeds)
    rejected = sum(feed.rejected for feed in facts.feeds)
    lost = [f"{words.FEEDS.get(feed.name, feed.name)} ({feed.lost})" for feed in facts.feeds if feed.lost]
    if not received:
        return Verdict("No records are counted in this run.", "The steps that read and clean the feeds were left out.")
    if lost:
        return Verdict("Records are missing.", f"Not used, nor rejected, nor duplicates: {', '.join(lost)}.", "bad")
    counts = f"{words.number(received)} records came in, {words.number(rejected)} were rejected."
    if any(feed.name == "clicks" and not feed.received for feed in facts.feeds):
        counts += " There are no clicks, so all that is known of customers is what they bought."
    return Verdict("Every record is accounted for.", counts, "good")


def quality(facts: Facts) -> Verdict:
    """Whether the data are what the shop expects them to be."""
    unmet = [check for check in facts.checks if check.passed is False]
    unclear = sum(check.passed is None for check in facts.checks)
    number = f"{words.number(len(facts.checks))} expectations were checked"
    more = f"; {unclear} could not be judged" if unclear else ""
    if not facts.checks:
        return Verdict("Nothing was checked.", "This run says nothing about whether the data are as expected.")
    if not unmet:
        return Verdict("The data are as expected.", f"{number}{more}.", "good")
    return Verdict("The data are not as expected.", f"{number}, {len(unmet)} are not met{more}.", "bad")


def pictures(facts: Facts) -> dict[str, Picture | None]:
    """The pictures; None where there is nothing to show."""
    worth, shares = views.worth(facts), views.shares(facts)
    responses, rankings, groups = views.responses(facts), views.rankings(facts), views.calibration(facts)
    given, effects = views.given(facts)[:12], views.effects(facts)[: views.MOST]
    return {
        "worth": figures.intervals(
            [(row["label"], row["number"]) for row in worth],
            axis="extra margin",
            reference=0,
            alt="Extra margin: " + _said([(row["label"], words.money(row["number"].value)) for row in worth]),
        )
        if worth
        else None,
        "given": figures.bars(
            [(f"{row['label']} · {row['offer_id']}"[:44], (row["model"], row["explore"])) for row in given],
            series=("chosen by the model", "chosen at random"),
            axis="customers",
            alt="Customers by offer: "
            + _said([(row["label"], words.number(row["model"] + row["explore"])) for row in given]),
        )
        if given
        else None,
        "truth": figures.intervals(
            [(row["label"], row["number"]) for row in shares],
            axis="share of the best possible extra margin",
            reference=0,
            percent=True,
            alt="Share of the best possible: "
            + _said([(row["label"], words.percent(row["number"].value)) for row in shares]),
        )
        if shares
        else None,
        "responses": figures.intervals(
            [(row["label"], row["auc"]) for row in responses],
            axis="AUC (50 % = guessing)",
            reference=0.5,
            percent=True,
            alt="AUC: " + _said([(row["label"], words.percent(row["auc"].value)) for row in responses]),
        )
        if responses
        else None,
        "effects": figures.intervals(
            [(row["label"][:40], row["number"]) for row in effects],
            axis="change of the chance to buy",
            reference=0,
            percent=True,
            alt="Change of the chance to buy, in points: "
            + _said([(row["label"], words.points(row["number"].value)) for row in effects]),
        )
        if effects
        else None,
        "calibration": figures.calibration(
            groups,
            alt="Predicted chance and what happened, by group of customers: "
            + _said([(words.percent(p), words.percent(y.value)) for p, y in groups]),
        )
        if groups
        else None,
        "rankings": figures.intervals(
            [(row["label"], row["ndcg"]) for row in rankings],
            axis="NDCG of ten products",
            percent=True,
            alt="NDCG of ten products: "
            + _said([(row["label"], words.percent(row["ndcg"].value)) for row in rankings]),
        )
        if rankings
        else None,
    }


def _said(pairs: list[tuple[str, str]]) -> str:
    return "; ".join(f"{label} {value}" for label, value in pairs) + "."
