"""Silver: typed, deduplicated, checked; what could not be used is in `quarantine` with its reasons."""

from __future__ import annotations

from offerlake.schemas.model import MONEY, Col, Table

EVENT_TYPES = (
    "view", "search", "add_to_cart", "remove_from_cart", "checkout", "purchase", "offer_view",
    "offer_click", "content_view",
)  # fmt: skip
OFFER_KINDS = (
    "percent_off", "amount_off", "free_shipping", "gift", "points", "content", "bundle", "buy_x_get_y",
    "coupon_book",
)  # fmt: skip
SCOPES = ("all", "category", "brand", "products")

CLICKS = Table(
    name="clicks",
    layer="silver",
    grain="one event of one visitor",
    key=("event_id",),
    partition="event_date",
    retention="log_days",
    columns=(
        Col("event_id", "string", "the event"),
        Col("user_id", "string", "who; also for the events before the login of the same session", null=True),
        Col("anonymous_id", "string", "the browser, where nobody is logged in", null=True),
        Col("session_id", "string", "hash of the visitor and the session's first event"),
        Col("event_time", "timestamp", "when it happened"),
        Col("arrived_at", "timestamp", "when the shop's systems knew it"),
        Col("event_type", "string", "one of " + ", ".join(EVENT_TYPES)),
        Col("product_id", "string", "product seen, put into the cart or bought", null=True),
        Col("offer_id", "string", "offer seen or clicked", null=True),
        Col("query", "string", "search words", null=True),
        Col("price", MONEY, "price of one unit shown, ≥ 0", null=True),
        Col("quantity", "int", "units", null=True),
        Col("channel", "string", "web, app, email, …", null=True),
        Col("device", "string", "mobile, desktop, …, or the agent that the browser names", null=True),
        Col("referrer", "string", "where the visitor came from", null=True),
        Col("known_product", "boolean", "the product is in `products`; true where there is no product"),
        Col("event_date", "date", "UTC date of event_time"),
    ),
)

ORDER_LINES = Table(
    name="order_lines",
    layer="silver",
    grain="one line of one order, or of one return",
    key=("order_id", "line_id"),
    partition="order_date",
    retention="log_days",
    columns=(
        Col("order_id", "string", "the order"),
        Col("line_id", "string", "the line within the order"),
        Col("user_id", "string", "who bought"),
        Col("product_id", "string", "what"),
        Col("order_time", "timestamp", "when it was ordered (or returned)"),
        Col("arrived_at", "timestamp", "when the shop's systems knew it"),
        Col("quantity", "int", "units; negative for a return"),
        Col("unit_price", MONEY, "price of one unit before discounts, ≥ 0"),
        Col("discount", MONEY, "taken off the whole line, ≥ 0"),
        Col("net_amount", MONEY, "quantity × unit_price − discount; negative for a return"),
        Col(
            "coupon_amount",
            MONEY,
            "what the customer's coupons took off the line, whoever pays for them, ≥ 0; null: not known",
            null=True,
        ),
        Col("offer_id", "string", "offer used on the line", null=True),
        Col("known_product", "boolean", "the product is in `products`"),
        Col("order_date", "date", "UTC date of order_time"),
    ),
)

PRODUCTS = Table(
    name="products",
    layer="silver",
    grain="one version of one product",
    key=("product_id", "arrived_at"),
    retention="log_days",
    columns=(
        Col("product_id", "string", "the product"),
        Col("arrived_at", "timestamp", "since when this version is known"),
        Col("name", "string", "name", null=True),
        Col("category", "string", "path from general to special, parts joined by ' > '"),
        Col("brand", "string", "brand", null=True),
        Col("price", MONEY, "list price of one unit, ≥ 0", null=True),
        Col("unit_cost", MONEY, "what one unit costs the shop, ≥ 0", null=True),
        Col("description", "string", "text", null=True),
        Col("stock", "int", "units that can be sold; 0 or less: not recommended; null: not known", null=True),
    ),
)

USERS = Table(
    name="users",
    layer="silver",
    grain="one version of one user",
    key=("user_id", "arrived_at"),
    retention="log_days",
    columns=(
        Col("user_id", "string", "the user"),
        Col("arrived_at", "timestamp", "since when this version is known"),
        Col("signup_time", "timestamp", "when the account was made", null=True),
        Col("gender", "string", "as stated", null=True),
        Col("age_band", "string", "such as 25-34", null=True),
        Col("region", "string", "region", null=True),
        Col(
            "consent_marketing",
            "boolean",
            "may be contacted; null: unknown, which counts as `clean.unknown_consent` when offers are assigned",
            null=True,
        ),
        Col("consent_profiling", "boolean", "may be scored; null: unknown, likewise", null=True),
        Col("attributes", "map<string,string>", "further columns of the source"),
    ),
)

IDENTITIES = Table(
    name="identities",
    layer="silver",
    grain="one version of whose one alias is",
    key=("alias", "arrived_at"),
    retention="log_days",
    columns=(
        Col("alias", "string", "an id by which a user is known elsewhere: a browser's, a loyalty card's, a till's"),
        Col("arrived_at", "timestamp", "since when it is known"),
        Col("user_id", "string", "whose it is"),
    ),
)

OFFERS = Table(
    name="offers",
    layer="silver",
    grain="one version of one offer",
    key=("offer_id", "arrived_at"),
    retention="log_days",
    columns=(
        Col("offer_id", "string", "the offer"),
        Col("arrived_at", "timestamp", "since when this version is known"),
        Col("kind", "string", "one of " + ", ".join(OFFER_KINDS)),
        Col("depth", "double", "percent_off: share of the price, 0 to 1; other kinds: amount of money", null=True),
        Col("scope", "string", "one of " + ", ".join(SCOPES)),
        Col("scope_values", "array<string>", "categories or brands in scope; empty for all and products"),
        Col("min_spend", MONEY, "order value from which it counts, ≥ 0", null=True),
        Col("cost_per_redemption", MONEY, "fixed cost of one use, ≥ 0", null=True),
        Col("channels", "array<string>", "channels it may go out on; null: any, empty: none", null=True),
        Col("valid_from", "timestamp", "from when it can be used"),
        Col("valid_to", "timestamp", "until when, exclusive"),
        Col("max_redemptions", "int", "uses in all; null: no limit", null=True),
        Col("campaign_type", "string", "the shop's own word for the sort of campaign it belongs to", null=True),
    ),
)

OFFER_PRODUCTS = Table(
    name="offer_products",
    layer="silver",
    grain="one product in the scope of one offer, by one coupon",
    key=("offer_id", "product_id", "coupon_id"),
    retention="log_days",
    columns=(
        Col("offer_id", "string", "the offer"),
        Col("product_id", "string", "a product in its scope"),
        Col("coupon_id", "string", "the coupon; empty where the offer has one only"),
    ),
)

EXPOSURES = Table(
    name="exposures",
    layer="silver",
    grain="one offer shown to one user, or nothing on purpose",
    key=("exposure_id",),
    partition="shown_date",
    retention="log_days",
    columns=(
        Col("exposure_id", "string", "the exposure"),
        Col("assignment_id", "string", "row of user_offers that asked for it", null=True),
        Col("user_id", "string", "who"),
        Col("offer_id", "string", "what; null: deliberately nothing, the control", null=True),
        Col("shown_at", "timestamp", "when"),
        Col("arrived_at", "timestamp", "when the shop's systems knew it"),
        Col("channel", "string", "where", null=True),
        Col("position", "int", "slot, from 1", null=True),
        Col("propensity", "double", "probability with which the policy chose this, in (0, 1]", null=True),
        Col("policy", "string", "who chose"),
        Col("run_id", "string", "run of Offerlake that chose", null=True),
        Col("shown_date", "date", "UTC date of shown_at"),
    ),
)

REDEMPTIONS = Table(
    name="redemptions",
    layer="silver",
    grain="one use of one offer",
    key=("redemption_id",),
    partition="redeemed_date",
    retention="log_days",
    columns=(
        Col("redemption_id", "string", "the redemption"),
        Col("user_id", "string", "who"),
        Col("offer_id", "string", "which offer"),
        Col("coupon_id", "string", "which coupon of it", null=True),
        Col("redeemed_at", "timestamp", "when"),
        Col("arrived_at", "timestamp", "when the shop's systems knew it"),
        Col("order_id", "string", "on which order", null=True),
        Col("value", MONEY, "what it took off, ≥ 0", null=True),
        Col("redeemed_date", "date", "UTC date of redeemed_at"),
    ),
)

QUARANTINE = Table(
    name="quarantine",
    layer="silver",
    grain="one record that was refused",
    key=("record_id",),
    partition="loaded_date",
    mode="merge",
    retention="quarantine_days",
    columns=(
        Col("record_id", "string", "hash of feed, job, source and position"),
        Col("feed", "string", "the feed it came in"),
        Col("job", "string", "the job that refused it"),
        Col("reasons", "array<string>", "short codes, each with the column and the value, cut"),
        Col("record", "string", "the record: the raw line, or the raw row as JSON"),
        Col("source", "string", "file or topic"),
        Col(
            "source_position",
            "string",
            "place in the source: running number of the record in its file, or the message's offset",
        ),
        Col("loaded_at", "timestamp", "when the record was loaded"),
        Col("loaded_date", "date", "UTC date of loaded_at"),
        Col(
            "day",
            "date",
            "UTC day with which it is decided on: of the event where the record names one, else loaded_date",
        ),
    ),
)

TABLES = (
    CLICKS, ORDER_LINES, PRODUCTS, USERS, IDENTITIES, OFFERS, OFFER_PRODUCTS, EXPOSURES, REDEMPTIONS, QUARANTINE,
)  # fmt: skip
