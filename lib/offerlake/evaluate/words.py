"""Codes and numbers in the words of the people who read the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

ARMS = {
    "model": "Chosen by the model",
    "explore": "Chosen at random, to learn",
    "holdout": "Held out, gets nothing, to measure by",
}
KINDS = {
    "percent_off": "{depth} % off",
    "amount_off": "{depth} off",
    "free_shipping": "Free shipping",
    "gift": "A gift",
    "points": "{depth} points",
    "content": "Content",
    "bundle": "Bundle",
    "buy_x_get_y": "Buy some, get some",
    "coupon_book": "Coupon book",
    "none": "Nothing",
}
FEEDS = {
    "clicks": "Clicks",
    "orders": "Order lines",
    "products": "Products",
    "users": "Customers",
    "offers": "Offers",
    "offer_products": "Products of offers",
    "identities": "Other ids of users",
    "exposures": "Offers sent",
    "redemptions": "Offers used",
}
TABLES = {"order_lines": FEEDS["orders"], **FEEDS}
REJECTIONS = {
    "malformed_csv": "A broken line",
    "malformed_json": "Not readable as JSON",
    "malformed_avro": "Not readable as Avro",
    "unknown_schema": "Written by a schema that the mapping does not name",
    "tombstone": "A message without content: its key was deleted",
    "encoding": "Characters that cannot be read",
    "missing": "A value is missing that has to be there",
    "unparsable": "A value is not what it should be, such as text where a number belongs",
    "range": "A number out of the possible range",
    "unknown": "A customer, product, offer or word that is not known",
    "clock_skew": "It happened later than it arrived: a wrong clock",
    "changed": "The same record came again with other content",
    "test_account": "Of an account that the shop tests with",
    "bot": "Made by a program, not a person",
    "expectation": "Not what the shop says it should be",
    "return_without_purchase": "A return of something never bought",
}
SOURCES = {
    "own": "Bought before",
    "als": "Customers alike bought it",
    "content": "New, and like what suits the customer",
    "popular": "Popular of late",
}
STAGES = {
    "prospect": "Prospects, who never ordered",
    "new": "New customers",
    "active": "Active customers",
    "loyal": "Loyal customers, who order often",
    "cooling": "Cooling, whose next order is late",
    "dormant": "Dormant, who have left out several",
    "lapsed": "Lapsed, without an order for long",
}
SILENT = {
    "best_value": "No offer would bring more than it costs",
    "value_per_cost": "The budget went to customers with whom it brings more",
    "offers_used_up": "The offers worth it may not be used more often",
    "no_marketing_consent": "Does not want to be contacted",
    "no_profiling_consent": "Does not want to be scored",
    "eligible_offers": "No offer fits",
}
RULES = {
    "no_marketing_consent": "The customer does not want to be contacted",
    "no_profiling_consent": "The customer does not want to be scored",
    "expired": "The offer has ended",
    "not_yet_valid": "The offer has not begun",
    "empty_scope": "The offer holds for no product",
    "no_channel": "The offer has no channel to go out on",
    "min_spend": "The customer's orders are far below the offer's least value",
}
POLICIES = {
    "model": "Offerlake",
    "ceiling": "The most that these data allow",
    "arm_average": "Each offer's average effect",
    "best_single": "The one best offer for everybody",
    "response_ranked": "Those most likely to buy",
    "old_rule": "The rule used before",
    "random": "By chance",
}
JOBS = {
    "ingest": "Read the files",
    "check_quality": "Check that the data are as expected",
    "build_activity": "Add up what customers did by day",
    "build_products": "Describe products and who likes them",
    "build_features": "Describe customers",
    "build_index": "Number them",
    "build_clv": "Work out what customers will be worth",
    "build_segments": "Group customers",
    "build_examples": "Gather what became of past offers",
    "build_click_examples": "Gather which offers were clicked on the site",
    "train_als": "Learn tastes",
    "build_neighbours": "See what is bought together",
    "tune_als": "Search better settings for tastes",
    "train_reranker": "Learn which picks are bought",
    "recommend": "Pick products",
    "recommend_sessions": "Pick products for visitors nobody knows",
    "train_response": "Learn who responds",
    "train_uplift": "Learn what offers change",
    "train_deep": "Train the deep model",
    "score_offers": "Score offers",
    "assign_offers": "Choose offers",
    "publish_offers": "Hand them over",
    "evaluate": "Measure",
}


def number(x: float | None, digits: int = 0) -> str:
    """1234.5 as 1,234 or, with digits, 1,234.50; a dash for None. Never minus zero."""
    if x is None:
        return "–"
    text = f"{x:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def money(x: float | None) -> str:
    """Money: cents below 1,000, whole from there on."""
    return number(x, 2 if x is not None and abs(x) < 1000 else 0)


def percent(x: float | None, digits: int = 1) -> str:
    """A share as a percentage, on one line; a dash for None."""
    return "–" if x is None else f"{number(100 * x, digits)}\u00a0%"


def points(x: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    if x is None:
        return "–"
    text = number(100 * x, 1)
    return text if text.startswith("−") or text == "0.0" else f"+{text}"


def day(when: date) -> str:
    """3 September 2025."""
    return f"{when.day} {when:%B %Y}"


def offer(kind: str, depth: float | None) -> str:
    """What an offer is, such as `20 % off`; an unknown kind as it is."""
    pattern = KINDS.get(kind, kind)
    if "{depth}" not in pattern:
        return pattern
    if depth is None:
        return pattern.replace("{depth} ", "").capitalize()
    return pattern.format(depth=_short(100 * depth if kind == "percent_off" else depth))


def reason(code: str) -> str:
    """A reason code of user_offers, `code=number`, as a sentence; an unknown one as it is."""
    name, _, text = code.partition("=")
    try:
        x = float(text)
    except ValueError:
        return code
    sentences = {
        "value": f"expected to bring {money(x)} more than without it, cost taken off",
        "cost": f"expected to cost {money(x)}",
        "uplift": f"changes the chance to buy by {points(x)} points",
        "p_redeem": f"used with a chance of {percent(x)}",
        "price": f"the budget asked for {money(x)} of gain for each 1 spent",
        "holdout": f"one of the {percent(x)} who get nothing, to measure by",
        "explore": f"chosen by chance ({percent(x)} for each choice), to learn",
        "no_marketing_consent": "does not want to be contacted",
        "no_profiling_consent": "does not want to be scored",
        "eligible_offers": "no offer fits",
        "best_value": f"the best offer would lose {money(-x)}" if x < 0 else "no offer brings anything",
        "offers_used_up": "the offers worth it may not be used more often",
        "value_per_cost": f"the best offer brings {money(x)} for each 1 spent, too little for the budget",
    }
    return sentences.get(name, code)


def column_change(kind: str, before: Sequence[str]) -> str:
    """What happened to a column that is now also `kind`, and was `before` until then."""
    return f"is {kind} in some records; it was {' or '.join(before)}" if before else f"is new: {kind}"


def reasons(codes: Sequence[str]) -> str:
    """Reason codes as one sentence."""
    text = "; ".join(reason(code) for code in codes)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def job(name: str) -> str:
    """What a job does."""
    if name.startswith("clean_"):
        feed = name.removeprefix("clean_")
        return f"Check: {FEEDS.get(feed, feed).lower()}"
    return JOBS.get(name, name)


def _short(x: float) -> str:
    return f"{x:,.2f}".rstrip("0").rstrip(".")
