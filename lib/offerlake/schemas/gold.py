"""Gold: features as of a day, examples, scores, and the product itself, `user_offers`."""

from __future__ import annotations

from offerlake.schemas.model import Col, Table
from offerlake.schemas.silver import OFFER_KINDS
from offerlake.schemas.user_features import DAY_PARTS, FEATURES

_AS_OF = Col("as_of", "date", "UTC day; only what had happened and arrived before its 00:00 counts")
_USER = Col("user_id", "string", "the user")
_PRODUCT = Col("product_id", "string", "the product")
_OFFER = Col("offer_id", "string", "the offer")

USER_FEATURE_COLUMNS = tuple(feature.column for feature in FEATURES)
"""Numbers and categories that models may use: the same in `user_features` and in `examples`."""

OFFER_CONTEXT_COLUMNS = (
    Col("kind", "string", "kind of offer; `none` for nothing"),
    Col("campaign_type", "string", "as in offers; null: none", null=True),
    Col("depth", "double", "as in offers; null: none", null=True),
    Col("discount_rate", "double", "depth as a share of the basket's price, 0 to 1: percent_off itself, amount_off over max(min_spend, typical_order_value); 0 for others"),
    Col("min_spend", "double", "order value from which it counts, 0 for none"),
    Col("fixed_cost", "double", "fixed cost of one use, 0 for none"),
    Col("channel", "string", "channel shown on", null=True),
    Col("scoped", "int", "1: a category, brand or product list is in scope, 0: everything"),
    Col("kind_affinity", "double", "the user's click rate on offers of this kind (click_rate_<kind>); 0 for nothing or unknown"),
    Col("scope_affinity", "double", "share of signs_364d that is in scope, 0 to 1; 1 for scope all, 0 for nothing"),
    Col("scope_size", "int", "products in scope; 0 where not scoped"),
    Col("scope_units_364d", "int", "units of products in scope that the user bought in 364 days; all units for scope all"),
    Col("scope_unit_share_364d", "double", "scope_units_364d over units_364d, 0 to 1; 0: none bought"),
    Col("scope_products_364d", "int", "different products in scope that the user bought in 364 days; 0 where not scoped"),
    Col("scope_recency_days", "double", "days since the user last bought a product in scope; any product for scope all; null: not in 364 days", null=True),
)  # fmt: skip
"""Columns that say what an offer is to a user: the same in `examples` and when scoring."""

_DAY = (
    Col("event_day", "date", "UTC day on which it happened"),
    Col("since", "date", "first as_of on which it counts: the day after all that it takes had happened and arrived"),
)


def _counts(**meanings: str) -> tuple[Col, ...]:
    return tuple(Col(name, "bigint", f"{meaning}; null: none", null=True) for name, meaning in meanings.items())


def _moments(**meanings: str) -> tuple[Col, ...]:
    return tuple(Col(name, "timestamp", f"{meaning}; null: none", null=True) for name, meaning in meanings.items())


VISITS = _counts(
    sessions="sessions begun; below 0 where one turns out to have begun before",
    views="product views",
    carts="products put into the cart",
    cart_removals="products taken out of the cart",
    searches="searches",
    offer_views="offers seen on the site",
    offer_clicks="offers clicked on the site",
    content_views="content pages seen",
    **{f"clicked_{kind}": f"offers of the kind {kind} clicked" for kind in OFFER_KINDS},
    **{
        f"{part}_clicks": f"clicks of any kind in the {part}, a quarter of the day by `features.time_zone`"
        for part in DAY_PARTS
    },
    weekend_clicks="clicks of any kind on a Saturday or Sunday there",
    app_clicks="clicks of any kind on a channel of `features.app_channels`",
)
PURCHASES = _counts(
    orders="orders",
    order_days="1: from now on the day is known to have an order",
    gaps="gaps between a day with an order and the next one, that end on this day",
    gap_days="days of these gaps; below 0 where an order between the two becomes known",
    gap_squares="the same, each squared",
    repeat_spent="spent, on days of which an earlier day with an order is known",
    money="ten-thousandths of net amount, returns taken off",
    spent="the same, returns not taken off",
    gross="ten-thousandths of amount before discounts, returns not taken off",
    discounts="ten-thousandths of discounts, returns not taken off",
    units="units bought",
    returned_units="units returned",
    lines="order lines, returns not counted",
    discounted_lines="of them with a discount",
    discounted_gross="gross of lines with a discount",
    deep_discount_lines="order lines with a discount of `features.deep_discount` or more",
    coupon_lines="of them with a coupon",
    capped_lines="lines and returns whose net amount is capped in money and spent",
)
SENDINGS = _counts(
    exposures="offers sent",
    used="of them used in their label window",
    percent_sent="offers of the kind percent_off sent",
    depth_sent="ten-thousandths of the price that they took off, summed",
    percent_used="offers of the kind percent_off sent and used in their label window",
    depth_used="ten-thousandths of the price that they took off, summed",
    app_sent="offers sent on a channel of `features.app_channels`",
    app_used="of them used in their label window",
    ignored="offers whose label window ended on this day, unused; below 0 where a use in it arrives later",
)
REDEEMED = _counts(redemptions="redemptions")

USER_DAYS = Table(
    name="user_days",
    layer="gold",
    grain="what one user did on one day, as far as it counts from one as_of on",
    key=("user_id", "event_day", "since"),
    retention="log_days",
    columns=(
        _USER,
        *_DAY,
        *VISITS,
        *PURCHASES,
        *SENDINGS,
        *REDEEMED,
        *_moments(
            first_click="first click",
            last_click="last click",
            first_order="time of the first order",
            last_order="time of the last order",
            last_sent="when an offer was last sent",
            last_redeemed="time of the last redemption",
        ),
    ),
)

USER_CATEGORY_DAYS = Table(
    name="user_category_days",
    layer="gold",
    grain="what one user viewed and bought of one category on one day, from one as_of to another",
    key=("user_id", "category", "event_day", "since", "known_to"),
    retention="log_days",
    columns=(
        _USER,
        Col("category", "string", "top-level category of the products as known in [since, known_to)"),
        *_DAY,
        Col("known_to", "date", "first as_of on which the products count elsewhere; 9999-12-31: none yet"),
        Col("signs", "bigint", "product views and bought order lines"),
        *_counts(
            view_position="sum of the viewed products' places among the prices, in millionths",
            placed_views="views in that sum",
            bought_position="the same over bought order lines",
            placed_lines="order lines in that sum",
        ),
    ),
)

USER_FEATURES = Table(
    name="user_features",
    layer="gold",
    grain="one user as of one day",
    key=("as_of", "user_id"),
    partition="as_of",
    columns=(_AS_OF, _USER, *USER_FEATURE_COLUMNS),
)

USER_PROFILES = Table(
    name="user_profiles",
    layer="gold",
    grain="what one user likes and how he shops, as of the day of one run, for people, reports and reasons; no model reads it",
    key=("as_of", "user_id"),
    partition="as_of",
    columns=(
        _AS_OF,
        _USER,
        Col("category_affinity", "map<string,double>", "top-level category to its share of signs_364d, sums to 1"),
        Col(
            "brand_affinity",
            "map<string,double>",
            "brand to its share of signs_364d, the strongest `features.brand_limit`",
        ),
        Col(
            "channels", "map<string,double>", "channel to its share of the clicks in 364 days that name one, sums to 1"
        ),
        Col(
            "day_parts",
            "map<string,double>",
            "night, morning, afternoon, evening (six hours each from midnight on, by `features.time_zone`) to their shares of the clicks in 364 days, sum to 1",
        ),
        Col(
            "search_terms",
            "map<string,double>",
            "search words, in small letters and single blanks, to their share of the searches in 364 days, the strongest `features.search_term_limit`",
        ),
    ),
)

PRODUCT_FEATURES = Table(
    name="product_features",
    layer="gold",
    grain="one product as of one day",
    key=("as_of", "product_id"),
    partition="as_of",
    columns=(
        _AS_OF,
        _PRODUCT,
        Col("category", "string", "path, newest known"),
        Col("top_category", "string", "first part of the path"),
        Col("brand", "string", "brand", null=True),
        Col("price", "double", "newest known list price, else the mean paid in 364 days", null=True),
        Col("unit_cost", "double", "newest known cost, else (1 − margin_rate) × price", null=True),
        Col("price_position", "double", "rank of the price in its top category, 0 cheapest to 1", null=True),
        Col("views_28d", "int", "views in 28 days, anonymous ones too"),
        Col("buyers_28d", "int", "users who bought it in 28 days"),
        Col("buyers_364d", "int", "users who bought it in 364 days"),
        Col("units_364d", "double", "units sold in 364 days, returns taken off"),
    ),
)

INTERACTIONS = Table(
    name="interactions",
    layer="gold",
    grain="one user and one product as of one day",
    key=("as_of", "user_id", "product_id"),
    partition="as_of",
    columns=(
        _AS_OF,
        _USER,
        _PRODUCT,
        Col("weight", "double", "sum over events of weight by type × 0.5^(age / half-life), > 0"),
        Col("purchases", "int", "order lines, returns not counted"),
        Col("first_time", "timestamp", "first event"),
        Col("last_time", "timestamp", "last event"),
    ),
)

_INDEX = Col("idx", "int", "32-bit number of the id, from 0; appended, never renumbered")
USER_INDEX = Table(
    name="user_index", layer="gold", grain="one user", key=("user_id",), columns=(_USER, _INDEX), mode="append"
)  # fmt: skip
PRODUCT_INDEX = Table(
    name="product_index", layer="gold", grain="one product", key=("product_id",), columns=(_PRODUCT, _INDEX), mode="append"
)  # fmt: skip

PRODUCT_NEIGHBOURS = Table(
    name="product_neighbours",
    layer="gold",
    grain="one product, one that is bought with it, and by whom, as of one day",
    key=("as_of", "basis", "product_id", "neighbour_id"),
    partition="as_of",
    columns=(
        _AS_OF,
        Col("basis", "string", "user: by the same users; order: in the same orders"),
        _PRODUCT,
        Col("neighbour_id", "string", "what is bought with it"),
        Col("rank", "int", "from 1, best first"),
        Col("units", "bigint", "users or orders with both"),
        Col("confidence", "double", "share of those with the product that have the neighbour too"),
        Col("lift", "double", "times as often together as by chance"),
        Col("cosine", "double", "units with both / √(units with one × units with the other), 0 to 1"),
    ),
)

EXAMPLES = Table(
    name="examples",
    layer="gold",
    grain="one exposure whose labels are final",
    key=("exposure_id",),
    partition="shown_date",
    columns=(
        Col("exposure_id", "string", "the exposure"),
        _USER,
        Col("offer_id", "string", "the offer; null: nothing", null=True),
        Col("treatment", "int", "1: an offer, 0: deliberately nothing"),
        Col("propensity", "double", "probability of this choice under the logging policy; null: unknown", null=True),
        Col("policy", "string", "who chose"),
        Col("shown_at", "timestamp", "when"),
        Col("shown_date", "date", "UTC date of shown_at; the features are as of this day"),
        Col("label_end", "timestamp", "end of the label window, exclusive"),
        *OFFER_CONTEXT_COLUMNS,
        *USER_FEATURE_COLUMNS,
        Col("responded", "int", "1: bought in [shown_at, label_end)"),
        Col("redeemed", "int", "1: used the offer in the window"),
        Col("use_value", "double", "money that the uses took off; null: not used, or the feed is silent", null=True),
        Col("net_value", "double", "net amount of what was bought in the window"),
        Col("margin", "double", "net amount − unit costs − cost of the redemption − contact cost"),
    ),
)

_LAST = (
    Col("times", "array<timestamp>", "when, oldest first"),
    Col("event_types", "array<string>", "what, as in `clicks`; `purchase`: a bought order line"),
    Col("product_ids", "array<string>", "of which product; null: none"),
    Col("most", "int", "`features.sequence_length` of then: the arrays have as many events at most"),
)
SEQUENCES = Table(
    name="sequences",
    layer="gold",
    grain="the last events of one user as of one day; users without an event have no row",
    key=("as_of", "user_id"),
    partition="as_of",
    columns=(_AS_OF, _USER, *_LAST),
)
EXAMPLE_SEQUENCES = Table(
    name="example_sequences",
    layer="gold",
    grain="the last events of an example's user as of the day it was shown; examples without an event have no row",
    key=("exposure_id", "most"),
    mode="append",
    columns=(Col("exposure_id", "string", "the exposure"), _USER, *_LAST),
)

CLICK_EXAMPLES = Table(
    name="click_examples",
    layer="gold",
    grain="one offer seen on the site by a known user, whose label is final; of those not clicked a sample",
    key=("impression_id",),
    partition="shown_date",
    columns=(
        Col("impression_id", "string", "event_id of the offer_view in `clicks`"),
        _USER,
        Col("offer_id", "string", "the offer, in the catalogue or not"),
        Col("channel", "string", "where it was seen", null=True),
        Col("shown_at", "timestamp", "when"),
        Col("shown_date", "date", "UTC date of shown_at; the features are as of this day"),
        Col("label_end", "timestamp", "end of the label window, exclusive: `window_minutes` after shown_at, or when the user sees the offer again"),
        Col("clicked", "int", "1: the user clicked the offer in [shown_at, label_end)"),
        Col("sampling_rate", "double", "probability with which the row was kept, in (0, 1]: 1 where clicked; 1 over it is the row's weight"),
        Col("window_minutes", "int", "`examples.click_window_minutes` of then"),
    ),
)  # fmt: skip

_ITEM = "struct<product_id:string,score:double,source:string>"
CANDIDATES = Table(
    name="candidates",
    layer="gold",
    grain="one user as of one day",
    key=("as_of", "user_id"),
    partition="as_of",
    columns=(
        _AS_OF,
        _USER,
        Col("items", f"array<{_ITEM}>", "best first; source says why it is there: own, als, content, popular"),
        Col(
            "scoped",
            "map<string,array<string>>",
            "offer valid on the day and limited to some products → the best of them (product_id); null: there is no such offer",
            null=True,
        ),
    ),
)

SESSION_CANDIDATES = Table(
    name="session_candidates",
    layer="gold",
    grain="one recent session of a visitor who is not logged in, as of one day",
    key=("as_of", "session_id"),
    partition="as_of",
    columns=(
        _AS_OF,
        Col("session_id", "string", "as in `clicks`"),
        Col("anonymous_id", "string", "the browser"),
        Col("items", f"array<{_ITEM}>", "best first; source: session (by sessions like it) or popular; empty: nothing may be shown"),
    ),
)  # fmt: skip

OFFER_SCORES = Table(
    name="offer_scores",
    layer="gold",
    grain="one user and one offer that passes the hard rules, as of one day",
    key=("as_of", "user_id", "offer_id"),
    partition="as_of",
    columns=(
        _AS_OF,
        _USER,
        _OFFER,
        Col("channel", "string", "the cheapest allowed channel", null=True),
        Col("p_response", "double", "P(the label | offer), 0 to 1"),
        Col("p_no_offer", "double", "P(the label | nothing); null: no control in the data", null=True),
        Col("p_redeem", "double", "P(uses the offer | offer), 0 to 1"),
        Col("p_deep", "double", "P(the label | offer) by the deep model; null: not enabled", null=True),
        Col("uplift", "double", "P(responded | offer) − P(responded | nothing); null: no control", null=True),
        Col("order_margin", "double", "margin of one order before the offer's cost, of this user"),
        Col("redemption_cost", "double", "cost of one use: discount given, goods and fixed cost"),
        Col("contact_cost", "double", "cost of the message"),
        Col("expected_margin", "double", "E[margin | offer] − E[margin | nothing]; null: no control", null=True),
        Col("expected_cost", "double", "p_redeem × redemption_cost + contact_cost"),
        Col("model_version", "string", "the models that made it"),
    ),
)

USER_OFFERS = Table(
    name="user_offers",
    layer="gold",
    grain="one slot of one user in one run; every user of `users` has one, with nothing in it too",
    key=("run_id", "user_id", "rank"),
    partition="as_of",
    columns=(
        Col("run_id", "string", "hash of as_of, settings, seed and code version"),
        Col("assignment_id", "string", "hash of run_id, user_id and rank"),
        _AS_OF,
        _USER,
        Col("rank", "int", "slot, from 1"),
        Col("offer_id", "string", "the offer; null: nothing", null=True),
        Col("product_ids", "array<string>", "products to show with it, best first"),
        Col("channel", "string", "where to send it", null=True),
        Col("valid_from", "timestamp", "from when; the exposure's time in all arms"),
        Col("valid_to", "timestamp", "until when, exclusive"),
        Col("kind", "string", "kind of offer; `none` for nothing"),
        Col("depth", "double", "as in offers", null=True),
        Col("p_response", "double", "P(the label | this row's choice); null: user not scored", null=True),
        Col("p_redeem", "double", "P(uses the offer); 0 without one", null=True),
        Col("uplift", "double", "of the offer; 0 without one; null: no control in the data", null=True),
        Col("expected_value", "double", "what the choice is expected to bring, cost taken off; 0 without an offer"),
        Col("expected_cost", "double", "counts against the budget; 0 without an offer"),
        Col("propensity", "double", "probability that this user got this choice in this run, in (0, 1]"),
        Col("arm", "string", "model, explore or holdout"),
        Col("reasons", "array<string>", "short codes, each with its number"),
        Col("model_version", "string", "the models that scored", null=True),
        Col("policy_version", "string", "the rule that chose"),
    ),
)

TABLES = (
    USER_DAYS, USER_CATEGORY_DAYS, USER_FEATURES, USER_PROFILES, PRODUCT_FEATURES, INTERACTIONS, SEQUENCES, USER_INDEX,
    PRODUCT_INDEX, PRODUCT_NEIGHBOURS, EXAMPLES, EXAMPLE_SEQUENCES, CLICK_EXAMPLES, CANDIDATES, SESSION_CANDIDATES,
    OFFER_SCORES, USER_OFFERS,
)  # fmt: skip
