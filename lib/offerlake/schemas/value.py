"""Gold: what customers are worth, and their segments."""

from __future__ import annotations

from offerlake.schemas.model import Col, Table

_AS_OF = Col("as_of", "date", "UTC day; only what had happened and arrived before its 00:00 counts")
_USER = Col("user_id", "string", "the user")
_SEGMENT = Col("segment", "int", "number of the segment, from 1; kept from run to run, never given to another one")
_NAME = Col("name", "string", "what stands out in it, such as `frequent, full price`; unique within a day")

USER_VALUE = Table(
    name="user_value",
    layer="gold",
    grain="one user who had bought before one day, as of that day",
    key=("as_of", "user_id"),
    partition="as_of",
    columns=(
        _AS_OF,
        _USER,
        Col("frequency", "int", "days with an order after the first such day"),
        Col("recency_days", "int", "days from the first day with an order to the last; 0: no repeat"),
        Col("age_days", "int", "days from the first day with an order to as_of"),
        Col("monetary", "double", "mean net amount of a day with an order after the first, returns not taken off; null: no repeat", null=True),
        Col("p_alive", "double", "P(will buy again at all), by BG/NBD, 0 to 1; 1 without a repeat: the model lets nobody go before"),
        Col("expected_purchases", "double", "days with an order expected in the `clv.horizon_weeks` after as_of"),
        Col("purchase_value", "double", "net amount expected of such a day, by gamma-gamma; null: nobody bought twice", null=True),
        Col("expected_value", "double", "expected_purchases × purchase_value", null=True),
        Col("clv", "double", "the same, each four weeks discounted by `clv.discount_rate` a year: net amount, no margin", null=True),
        Col("next_purchases", "double", "days with an order expected in the `clv.holdout_days` after as_of"),
        Col("next_value", "double", "next_purchases × purchase_value", null=True),
        Col("next_value_boosted", "double", "net amount in the same days by boosted trees; null: not asked for, or too little history", null=True),
        Col("model_version", "string", "the model that made it"),
    ),
)  # fmt: skip

SEGMENTS = Table(
    name="segments",
    layer="gold",
    grain="one user of user_features as of one day",
    key=("as_of", "user_id"),
    partition="as_of",
    columns=(_AS_OF, _USER, _SEGMENT, _NAME),
)

SEGMENT_PROFILES = Table(
    name="segment_profiles",
    layer="gold",
    grain="one segment as of one day",
    key=("as_of", "segment"),
    partition="as_of",
    columns=(
        _AS_OF,
        _SEGMENT,
        _NAME,
        Col("users", "bigint", "users in it"),
        Col("share", "double", "of all users, 0 to 1"),
        Col("order_recency_days", "double", "mean days since the last order; null: nobody ever ordered", null=True),
        Col("orders_364d", "double", "mean orders in 364 days"),
        Col("money_364d", "double", "mean net amount spent in 364 days, returns taken off"),
        Col("order_value_364d", "double", "mean over users of their mean order; null: none ordered", null=True),
        Col("discount_share_364d", "double", "mean share that discounts took off, 0 to 1; null: none ordered", null=True),
        Col("sessions_84d", "double", "mean sessions in 84 days"),
        Col("clv", "double", "mean over users who had bought, as in user_value; null: none, or not enabled", null=True),
        Col("centre", "map<string,double>", "trait to its mean, in standard deviations from the mean of all users"),
    ),
)  # fmt: skip

TABLES = (USER_VALUE, SEGMENTS, SEGMENT_PROFILES)
