"""The words by which a shop's files, columns and events are known when a mapping is drafted."""

from __future__ import annotations

NAMES: dict[str, str] = {
    "event_id": "hit_id log_id",
    "user_id": "user uid customer customer_id client_id member_id household_id household_key account_id buyer_id",
    "anonymous_id": "visitor visitor_id cookie cookie_id device_id browser_id full_visitor_id",
    "session_id": "session user_session visit_id",
    "event_time": "timestamp time ts datetime date created_at event_timestamp event_date occurred_at",
    "event_type": "event type action event_name behavior behavior_type kind",
    "product_id": "product item item_id sku article article_id stock_code asin upc ean gtin",
    "offer_id": "offer promotion promotion_id promo_id campaign campaign_id",
    "query": "search search_term search_query keyword keywords term",
    "price": "unit_price list_price retail_price item_price",
    "quantity": "qty units amount count",
    "channel": "medium",
    "device": "device_type platform",
    "referrer": "referer ref",
    "order_id": "order basket_id basket transaction_id invoice invoice_no receipt_id purchase_id",
    "line_id": "line line_number order_item_id item_number position_in_order add_to_cart_order",
    "order_time": "order_date ordered_at purchase_time purchase_date invoice_date transaction_timestamp"
    " timestamp time ts datetime date created_at event_time",
    "unit_price": "price item_price sale_price",
    "discount": "discount_amount rebate retail_disc",
    "net_amount": "sales_value total line_total net_value revenue sales",
    "coupon_amount": "coupon_disc coupon_discount",
    "name": "title product_name item_name description_short product_title",
    "category": "category_code category_id category_name department product_category aisle",
    "brand": "manufacturer vendor",
    "unit_cost": "cost purchase_price cogs",
    "stock": "inventory stock_level available_units on_hand",
    "description": "text long_description product_description",
    "signup_time": "signup signup_date registered_at registration_date created_at joined_at",
    "gender": "sex",
    "age_band": "age age_group age_range",
    "region": "country state city zip postcode location",
    "consent_marketing": "marketing_consent opt_in newsletter_consent marketing_opt_in",
    "alias": "external_id card_number loyalty_card",
    "currency": "currency_code iso_currency",
    "consent_profiling": "profiling_consent tracking_consent",
    "kind": "offer_type type promotion_type",
    "depth": "discount discount_percent percent value",
    "scope": "applies_to",
    "scope_values": "categories brands",
    "min_spend": "minimum_spend min_order_value",
    "cost_per_redemption": "redemption_cost",
    "channels": "channel",
    "valid_from": "start start_date starts_at from begin",
    "valid_to": "end end_date ends_at to until expires_at",
    "max_redemptions": "limit max_uses",
    "campaign_type": "campaign_kind",
    "coupon_id": "coupon coupon_upc coupon_code code",
    "exposure_id": "impression_id send_id message_id",
    "assignment_id": "",
    "shown_at": "sent_at exposed_at impression_time start_date timestamp time ts datetime date",
    "position": "slot rank",
    "propensity": "probability",
    "policy": "treatment variant experiment",
    "run_id": "",
    "redemption_id": "redeem_id",
    "redeemed_at": "redemption_date used_at redeemed_on timestamp time ts datetime date",
    "value": "redeemed_value redemption_value",
    "arrived_at": "received_at updated_at ingested_at loaded_at",
}
"""Our column to what others call it, beside its own name."""

TELLING: dict[str, str] = {
    "clicks": "event_type session_id anonymous_id query referrer device",
    "orders": "order_id line_id quantity unit_price net_amount discount",
    "products": "name brand category unit_cost description price",
    "users": "gender age_band region signup_time consent_marketing consent_profiling",
    "identities": "alias",
    "offers": "kind depth valid_from valid_to min_spend max_redemptions scope",
    "offer_products": "offer_id coupon_id",
    "exposures": "offer_id shown_at propensity policy position",
    "redemptions": "offer_id coupon_id redeemed_at value",
}
"""Columns by which a feed is known."""

FOREIGN: dict[str, tuple[str, ...]] = {
    "products": ("user_id", "anonymous_id", "session_id"),
    "users": ("product_id", "session_id"),
    "identities": ("product_id", "session_id"),
    "offers": ("user_id", "anonymous_id", "session_id"),
    "offer_products": ("user_id", "anonymous_id"),
}
"""Columns by which a feed is known not to be."""

FILES: dict[str, str] = {
    "offer_products": "offer_product coupon_product coupons",
    "identities": "identit alias crosswalk loyalty_card",
    "redemptions": "redempt redeem",
    "exposures": "exposure impression sends campaigns_sent targeted",
    "offers": "offer promotion campaign_desc",
    "clicks": "click event session view log traffic behavio cart search",
    "orders": "order transaction purchase sale basket buy invoice",
    "products": "product item catalog article sku",
    "users": "user customer member household demographic account",
}
"""Words in a file's name by which a feed is known; the first feed that has one."""

EVENT_WORDS: dict[str, str] = {
    "view": "pageview page_view product_view productview detail click clk pv viewed browse impression",
    "search": "query searched",
    "add_to_cart": "cart addtocart add add_cart basket cart_add added_to_cart",
    "remove_from_cart": "removefromcart remove cart_remove removed_from_cart",
    "checkout": "begin_checkout start_checkout",
    "purchase": "transaction buy order bought purchased sale",
    "offer_view": "offer_impression promo_view banner_view",
    "offer_click": "promo_click banner_click",
    "content_view": "article content blog",
}
"""Our event type to what others call it, beside its own name."""
