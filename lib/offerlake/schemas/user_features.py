"""The registry of what is known of a user as of a day: each feature is declared here, once.

A formula is Spark SQL over

* `<sum>_<w>d`: what `user_days` holds, summed over the w days before the day (any column of it, any w; bigint, money in
  ten-thousandths); its windows are worked out because formulas name them. `<sum>_ever` is the sum over all days
* `<moment>_age`: days (with their fraction) since a moment of `user_days`, or since `signup_time`; null: never
* `shop_<sum>`: the sum over 364 days and everybody
* `signs_364d`, `categories_364d`, `top_category_share`, `viewed_price_position_364d`, `bought_price_position_364d`:
  what `affinity.interests` makes of `user_category_days`; null without a sign
* `age_band`, `gender`, `region` of the newest version of the user known on the day
* `as_of`: the day
* `prior_orders`, `prior_sessions`, `prior_offers`: the settings `features.*`; `new_days`, `loyal_orders`, `cooling_gaps`,
  `dormant_gaps`, `lapsed_days`: those of `features.lifecycle`

`features.users` computes them, `offerlake features --markdown` writes the page docs/user_features.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from offerlake.schemas.model import Col
from offerlake.schemas.silver import OFFER_KINDS

DAY_PARTS = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight on."""


@dataclass(frozen=True)
class Feature:
    """One number or category that models may use.

    Attributes:
        name: Its column; a window stands at its end, in days.
        type: SQL type.
        unit: What it is counted in.
        formula: See above.
        meaning: What it says, with range and what null means.
        why: What it tells a model that others do not.
        null: Whether it may be missing.
    """

    name: str
    type: str
    unit: str
    formula: str
    meaning: str
    why: str
    null: bool = False

    @property
    def column(self) -> Col:
        """Its column in a table."""
        return Col(self.name, self.type, self.meaning, null=self.null)


def _counts(name: str, meaning: str, why: str, *windows: int) -> tuple[Feature, ...]:
    """Sums of one column over several windows."""
    made = []
    for days in windows:
        called = f"{name}_{days}d"
        made.append(Feature(called, "int", "count", called, f"{meaning} in {days} days", why))
    return tuple(made)


def _money(*windows: int) -> tuple[Feature, ...]:
    meaning = "net amount spent in {} days, returns taken off"
    why = "what is left after returns; the windows together show a trend"
    return tuple(
        Feature(f"money_{days}d", "double", "money", f"money_{days}d / 10000", meaning.format(days), why)
        for days in windows
    )


def _drawn(prior: str, part: str, whole: str) -> str:
    """What draws a ratio to the shop's: as many of `part` as the shop has in `prior_<prior>` of `whole`."""
    return f"prior_{prior} * try_divide(shop_{part}, shop_{whole})"


def _drawn_mean(of: str, whole: str, prior: str) -> str:
    """How many of `of` in one of `whole` in a year, drawn to the shop's mean."""
    return f"({of}_364d + {_drawn(prior, of, whole)}) / ({whole}_364d + prior_{prior})"


def _a_session(name: str, of: str, meaning: str, why: str) -> Feature:
    """How often something happens in a session of a year, drawn to the shop's mean."""
    return Feature(name, "double", "a session", _drawn_mean(of, "sessions", "sessions"), meaning, why, null=True)


def _share(
    name: str, part: str, whole: str, meaning: str, why: str, *, unit: str = "share", capped: bool = False
) -> Feature:
    """A ratio, `capped` at 1 where the part may be more; null where there is nothing to divide by."""
    # The part is capped, not the ratio: least passes over nulls.
    over = f"least({part}, {whole})" if capped else part
    return Feature(name, "double", unit, f"try_divide({over}, {whole})", meaning, why, null=True)


_ORDER_GAP = _drawn_mean("gap_days", "gaps", "orders")
_TYPICAL = f"{_drawn_mean('spent', 'orders', 'orders')} / 10000"
_MESSAGE_USE = (
    "(used_364d - app_used_364d + prior_offers * try_divide(shop_used - shop_app_used, shop_exposures - shop_app_sent))"
    " / (exposures_364d - app_sent_364d + prior_offers)"
)
_DEPTH_LIFT = (
    "(depth_used_364d - percent_used_364d * try_divide(depth_sent_364d, percent_sent_364d))"
    " / (percent_used_364d + prior_offers) / 10000"
)
_CLICKS = f"({' + '.join(f'{part}_clicks_364d' for part in DAY_PARTS)})"
_SEEN = "greatest(first_click_age, first_order_age)"
_IN_LAST_YEAR = f"CASE WHEN {_SEEN} >= 364 THEN {{of}}_364d - {{of}}_336d END"


def _trend(name: str, of: str, days: int, prior: str, why: str) -> Feature:
    """The last 28 days against the pace of a longer window, of which only the days count on which the user was known."""
    pace = f"28 * {of}_{days}d / least({days}, greatest(28, {_SEEN}))"
    return Feature(
        name, "double", "ratio", f"({of}_28d + prior_{prior}) / ({pace} + prior_{prior})",
        f"{of} in 28 days over those at the pace of {days} days (or since the first click or order), both with `prior_{prior}` more; 1: as ever",
        why,
    )  # fmt: skip


_OVERDUE = f"last_order_age / ({_ORDER_GAP})"
_STAGE = (
    "CASE WHEN last_order_age IS NULL THEN 'prospect'"
    " WHEN first_order_age < new_days THEN 'new'"
    " WHEN last_order_age >= lapsed_days THEN 'lapsed'"
    f" WHEN {_OVERDUE} >= dormant_gaps THEN 'dormant'"
    f" WHEN {_OVERDUE} >= cooling_gaps THEN 'cooling'"
    " WHEN orders_364d >= loyal_orders THEN 'loyal' ELSE 'active' END"
)
STAGES = ("prospect", "new", "active", "loyal", "cooling", "dormant", "lapsed")
"""Values of `lifecycle_stage`, as a customer comes to them."""

FAMILIES: dict[str, tuple[Feature, ...]] = {
    "tenure": (
        Feature("tenure_days", "double", "days", "greatest(signup_time_age, first_click_age, first_order_age)",
                "days since the first sign of the user (signup, click or order); null: no sign",
                "newcomers differ from regulars with the same counts", null=True),
    ),
    "orders and money": (
        Feature("order_recency_days", "double", "days", "last_order_age",
                "days since the last order; null: never ordered", "the strongest single sign of a next order", null=True),
        *_counts("orders", "orders", "how often, lately and over the year", 28, 84, 364),
        *_money(28, 84, 364),
        Feature("units_364d", "int", "units", "units_364d", "units bought in 364 days, returns not taken off",
                "volume apart from price"),
        Feature("order_value_364d", "double", "money", "try_divide(spent_364d, orders_364d) / 10000",
                "mean net amount of an order in 364 days, returns not taken off; null: none",
                "size of the basket as observed", null=True),
        Feature("typical_order_value", "double", "money", _TYPICAL,
                "order_value_364d, drawn to the shop's mean as if by `prior_orders` more orders; null: the shop has no order",
                "size of the basket that newcomers have too; decides which minimum spends are in reach", null=True),
        Feature("lines_an_order", "double", "lines", _drawn_mean("lines", "orders", "orders"),
                "order lines in an order of 364 days, drawn to the shop's mean likewise; null: likewise",
                "a few dear things or many cheap ones at the same value", null=True),
        _share("returned_share_364d", "returned_units_364d", "units_364d",
               "returned units over units bought in 364 days, 0 to 1; null: none bought",
               "what comes back earns nothing", capped=True),
    ),
    "trend and season": (
        _trend("orders_trend", "orders", 364, "orders", "on the rise, or on the way out"),
        _trend("visits_trend", "sessions", 84, "sessions", "the same of visits, which turn first"),
        Feature("orders_year_ago_28d", "int", "count", _IN_LAST_YEAR.format(of="orders"),
                "orders in the 28 days that began 364 days before; null: no click or order is that old",
                "the season: what the weeks ahead were like last year", null=True),
        Feature("money_year_ago_28d", "double", "money", f"({_IN_LAST_YEAR.format(of='money')}) / 10000",
                "net amount spent in the same days, returns taken off; null: likewise", "how large the season is", null=True),
    ),
    "rhythm of orders": (
        Feature("order_gap_days", "double", "days", _ORDER_GAP,
                "mean gap between days with an order, of those that ended in 364 days, drawn to the shop's mean as if by `prior_orders` more gaps; null: nobody came twice",
                "when the next order is due", null=True),
        Feature("order_gap_variation", "double", "ratio",
                "CASE WHEN gaps_364d >= 2 THEN sqrt(greatest(0D, gaps_364d * gap_squares_364d / pow(gap_days_364d, 2) - 1)) END",
                "standard deviation of these gaps over their mean, as observed, 0: like clockwork; null: fewer than two gaps",
                "whether the mean gap says when", null=True),
        Feature("order_overdue", "double", "gaps", _OVERDUE,
                "days since the last order over order_gap_days, 1: due; null: never ordered",
                "a pause of a month is long for some and short for others", null=True),
    ),
    "lifecycle": (
        Feature("lifecycle_stage", "string", "category", _STAGE,
                "prospect: never ordered; new: first order less than `new_days` ago; lapsed: last order `lapsed_days` ago or longer; dormant, cooling: order_overdue from `dormant_gaps`, `cooling_gaps` on; loyal: `loyal_orders` in 364 days; active: else. The first that holds",
                "what a shop does with a customer at all"),
        Feature("purchase_frequency", "int", "count", "gaps_ever",
                "days with an order after the first such day, as `user_value.frequency`: x of BG/NBD", "has come back, and how often"),
        Feature("purchase_recency_weeks", "double", "weeks", "gap_days_ever / 7",
                "weeks from the first day with an order to the last, 0: no repeat: t_x of BG/NBD", "for how long"),
        Feature("purchase_age_weeks", "double", "weeks", "datediff(as_of, first_order) / 7",
                "weeks since the first day with an order: T of BG/NBD; null: never ordered", "out of how long", null=True),
        Feature("purchase_monetary", "double", "money", "try_divide(repeat_spent_ever, gaps_ever) / 10000",
                "mean net amount of a day with an order after the first, as `user_value.monetary`; null: no repeat",
                "value without the first order, which introductory offers distort", null=True),
    ),
    "discounts": (
        _share("discount_share_364d", "discounts_364d", "gross_364d",
               "discounts over gross amount in 364 days, 0 to 1; null: none",
               "how deep the discounts are that a user buys at", capped=True),
        _share("discounted_share_364d", "discounted_lines_364d", "lines_364d",
               "order lines with a discount over all in 364 days, 0 to 1; null: none",
               "how often a user waits for one"),
        _share("discount_depth_364d", "discounts_364d", "discounted_gross_364d",
               "discounts over gross amount of the lines with a discount in 364 days, 0 to 1; null: none",
               "how deep a discount has to be, apart from how often there was one", capped=True),
        _share("deep_discount_share_364d", "deep_discount_lines_364d", "lines_364d",
               "order lines with a discount of `features.deep_discount` or more over all in 364 days, 0 to 1; null: none",
               "bargains alone, or everyday discounts too"),
        *_counts("coupon_lines", "order lines with a coupon, anybody's,", "handles coupons at all", 364),
    ),
    "visits and funnel": (
        Feature("visit_recency_days", "double", "days", "last_click_age",
                "days since the last click; null: never seen", "still around, bought or not", null=True),
        *_counts("sessions", "sessions", "how often, from this week to the year", 7, 28, 84, 364),
        *_counts("views", "product views", "interest before any decision", 28, 84, 364),
        *_counts("carts", "products put into the cart", "intent, nearest to an order", 28, 84, 364),
        *_counts("cart_removals", "products taken out of the cart", "second thoughts, often about the price", 84),
        *_counts("searches", "searches", "comes with something in mind", 84),
        _a_session("search_rate", "searches",
                   "searches a session in 364 days, drawn to the shop's mean as if by `prior_sessions` more sessions; null: nobody was ever seen",
                   "knows what is wanted, or looks around"),
        _share("cart_rate_84d", "carts_84d", "views_84d", "carts over views in 84 days, may exceed 1; null: no view",
               "first step of the funnel, lately", unit="ratio"),
        _share("cart_rate_364d", "carts_364d", "views_364d",
               "carts over views in 364 days, may exceed 1; null: no view", "the same, steadier", unit="ratio"),
        _share("conversion_84d", "orders_84d", "sessions_84d",
               "orders over sessions in 84 days, may exceed 1; null: no session", "the whole funnel", unit="ratio"),
    ),
    "habits": (
        _share("weekend_share_364d", "weekend_clicks_364d", _CLICKS,
               "clicks on Saturdays and Sundays over all in 364 days, 0 to 1; null: none", "when an offer reaches a user"),
        _share("day_part_concentration_364d", " + ".join(f"pow({part}_clicks_364d, 2)" for part in DAY_PARTS), f"pow({_CLICKS}, 2)",
               "sum of the squared shares of the four parts of the day in the clicks of 364 days, 1/4: any time, 1: always the same; null: none",
               "a fixed habit is hard to move", unit="index"),
        _share("app_share_364d", "app_clicks_364d", _CLICKS,
               "clicks in the app (`features.app_channels`) over all in 364 days, 0 to 1; null: none",
               "has the app: closer to the shop, reached at no cost"),
    ),
    "prices": (
        Feature("viewed_price_position_364d", "double", "rank", "viewed_price_position_364d",
                "mean over viewed products of the price's rank in its top category, 0 cheapest to 1; null: none",
                "price level that a user looks at", null=True),
        Feature("bought_price_position_364d", "double", "rank", "bought_price_position_364d",
                "the same over bought order lines", "price level that a user pays; below the one looked at: held back",
                null=True),
    ),
    "offers on the site": (
        *_counts("offer_views", "offers seen on the site", "chances to click", 84),
        *_counts("offer_clicks", "offers clicked on the site", "reacts to offers", 84),
        Feature("unclicked_offers_84d", "int", "count", "greatest(0, offer_views_84d - offer_clicks_84d)",
                "offers seen on the site in 84 days beyond those clicked", "looks past them lately"),
        *_counts("content_views", "content pages seen", "can be reached without a discount", 84),
        _a_session("offer_view_rate", "offer_views",
                   "offers seen on the site a session in 364 days, drawn to the shop's mean as if by `prior_sessions` more sessions; null: nobody was ever seen",
                   "looks for offers, or past them"),
        _a_session("offer_click_rate", "offer_clicks", "offers clicked a session, likewise", "liking of offers at all"),
        *(
            _a_session(f"click_rate_{kind}", f"clicked_{kind}", f"offers of the kind {kind} clicked a session, likewise",
                       "liking of this kind")
            for kind in OFFER_KINDS
        ),
    ),
    "offers sent": (
        *_counts("exposures", "offers sent", "how much has been sent already: fatigue", 28, 84, 364),
        Feature("exposure_recency_days", "double", "days", "last_sent_age",
                "days since an offer was last sent; null: never", "rested, or asked again at once", null=True),
        *_counts("redemptions", "redemptions", "uses what is given", 364),
        Feature("redemption_recency_days", "double", "days", "last_redeemed_age",
                "days since the last redemption; null: never", "who has stopped using what is given", null=True),
        _share("redemption_rate_364d", "used_364d", "exposures_364d",
               "offers used within their label window over offers sent in 364 days, 0 to 1; null: none sent",
               "the past mean of the label `redeemed`"),
        Feature("use_rate_84d", "double", "share", f"(used_84d + {_drawn('offers', 'used', 'exposures')}) / (exposures_84d + prior_offers)",
                "the same of 84 days, drawn to the shop's mean as if by `prior_offers` more offers; null: the shop sent none",
                "against the year's rate: tired of offers, or won over", null=True),
        Feature("app_use_rate", "double", "share", _drawn_mean("app_used", "app_sent", "offers"),
                "offers used within their label window over those sent to the app (`features.app_channels`) in 364 days, drawn to the shop's mean there as if by `prior_offers` more offers; null: the shop sent none there",
                "which channel reaches whom", null=True),
        Feature("message_use_rate", "double", "share", _MESSAGE_USE,
                "the same of offers sent elsewhere", "the other way to reach him", null=True),
        Feature("used_depth_lift", "double", "share", _DEPTH_LIFT,
                "mean depth of the percent_off offers used in their label window beyond that of all sent in 364 days, drawn to 0 as if by `prior_offers` more uses, -1 to 1; null: none sent",
                "above 0: it takes a deep discount", null=True),
        *_counts("ignored", "offers whose label window ended unused", "sent in vain lately: fatigue", 84),
    ),
    "interests": (
        Feature("signs_364d", "int", "count", "coalesce(signs_364d, 0)",
                "views and bought order lines of products with a known category in 364 days",
                "how much the shares below rest on"),
        Feature("categories_364d", "int", "count", "coalesce(categories_364d, 0)",
                "top-level categories viewed or bought in 364 days", "breadth"),
        Feature("top_category_share", "double", "share", "top_category_share",
                "share of the strongest category in the signs; null: no sign", "concentration", null=True),
    ),
    "who they are": tuple(
        Feature(name, "string", "category", name, "newest known before as_of", "as far as the shop knows it", null=True)
        for name in ("age_band", "gender", "region")
    ),
}  # fmt: skip
"""Family to its features, in the order of the columns."""

FEATURES: tuple[Feature, ...] = tuple(feature for family in FAMILIES.values() for feature in family)


def windows_of(names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Of these sums, the windows in days that formulas name, ascending."""
    found: dict[str, set[int]] = {name: set() for name in names}
    for feature in FEATURES:
        for name, days in re.findall(r"\b([a-z_]+)_(\d+)d\b", feature.formula):
            if name in found:
                found[name].add(int(days))
    return {name: tuple(sorted(windows)) for name, windows in found.items() if windows}


def shop_sums() -> tuple[str, ...]:
    """The sums over everybody that formulas name."""
    return _named(r"\bshop_([a-z_]+)\b")


def sums_ever() -> tuple[str, ...]:
    """The sums over all days that formulas name."""
    return _named(r"\b([a-z_]+)_ever\b")


def _named(pattern: str) -> tuple[str, ...]:
    return tuple(sorted({name for each in FEATURES for name in re.findall(pattern, each.formula)}))


def page() -> str:
    """The page docs/user_features.md."""
    lines = [
        "# Features of users\n",
        "Generated by `offerlake features --markdown > docs/user_features.md` from",
        "`lib/offerlake/schemas/user_features.py`; do not edit. [features.md](features.md) says what the two clocks mean.\n",
        "In formulas `x_84d` is the sum of the column `x` of [`user_days`](tables.md) over the 84 days before the day,",
        "`x_ever` over all days, money in ten-thousandths; `x_age` the days since a moment; `shop_x` the sum over 364 days",
        "and everybody; `prior_x` and the like are settings of the section `features`.\n",
    ]
    for family, features in FAMILIES.items():
        lines += [
            f"## {family[0].upper()}{family[1:]}\n",
            "| feature | unit | meaning | formula | why |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| `{each.name}` | {each.unit} | {each.meaning} | `{each.formula}` | {each.why} |" for each in features
        ]
        lines.append("")
    return "\n".join(lines)
