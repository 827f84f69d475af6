"""Facts of a run as a test shop would give them."""

from __future__ import annotations

from datetime import date

from offerlake.evaluate.checks import Check
from offerlake.evaluate.facts import Example, Facts, Feed, Group, JobRun, Number, Promise, Rejection, Segment, Stage
from offerlake.evaluate.picks import Customer, Picks

CALIBRATION = (
    (0.012, 0.011),
    (0.021, 0.024),
    (0.03, 0.028),
    (0.038, 0.041),
    (0.047, 0.045),
    (0.058, 0.06),
    (0.083, 0.079),
)

METRICS = {
    "offers.budget": Number(1000.0),
    "offers.spend": Number(998.7),
    "offers.value_dr": Number(1310.5, 402.1, 2218.9),
    "offers.value_model": Number(2954.2),
    "offers.mde": Number(1297.6),
    "offers.dr_rows": Number(240000.0),
    "offers.dr_users": Number(19567.0),
    "offers.dr_unsupported": Number(0.012),
    "response.auc": Number(0.6812, 0.6703, 0.6921),
    "response.gbt.auc": Number(0.6812, 0.6703, 0.6921),
    "response.lr.auc": Number(0.6645, 0.6534, 0.6756),
    "deep.auc": Number(0.6698, 0.6588, 0.6808),
    "response.log_loss": Number(0.1912),
    "response.gbt.log_loss": Number(0.1912),
    "response.gbt.brier": Number(0.0461),
    "response.lr.log_loss": Number(0.1934),
    "response.brier": Number(0.0461),
    "response.lr.brier": Number(0.0466),
    "response.calibration_slope": Number(0.97),
    "clv.purchases.rmse": Number(1.234, 1.1, 1.4),
    "clv.purchases.calibration": Number(0.971),
    "clv.purchases.rank_correlation": Number(0.61),
    "clv.purchases.gain": Number(0.312, 0.25, 0.37),
    "clv.rate.purchases.rmse": Number(1.49),
    "clv.rate.purchases.calibration": Number(1.434),
    "recommend.ndcg@10": Number(0.081, 0.075, 0.087),
    "recommend.recall@10": Number(0.112, 0.104, 0.12),
    "recommend.hit_rate@10": Number(0.243, 0.23, 0.256),
    "recommend.users": Number(1843.0),
    "recommend.als.ndcg@10": Number(0.064, 0.059, 0.069),
    "recommend.als.recall@10": Number(0.09, 0.08, 0.1),
    "recommend.als.hit_rate@10": Number(0.2, 0.19, 0.21),
    "recommend.popularity.ndcg@10": Number(0.021, 0.018, 0.024),
    "recommend.popularity.recall@10": Number(0.03, 0.026, 0.034),
    "recommend.popularity.hit_rate@10": Number(0.07, 0.06, 0.08),
    "oracle_share.model": Number(0.547, 0.521, 0.573),
    "oracle_share.ceiling": Number(0.812, 0.795, 0.829),
    "oracle_share.arm_average": Number(0.412, 0.388, 0.436),
    "oracle_share.best_single": Number(0.298, 0.27, 0.326),
    "oracle_share.response_ranked": Number(0.161, 0.13, 0.192),
    "oracle_share.old_rule": Number(-0.083, -0.12, -0.046),
    "oracle_share.random": Number(0.048, 0.01, 0.086),
    "published.true_value": Number(1421.9, 1288.0, 1555.8),
    "published.true_spend": Number(1012.4),
    "published.oracle_share": Number(0.503, 0.47, 0.536),
}

OFFERS = (
    ("app_points_200", "points", 200.0, "app", 2310, 96, 41.2),
    ("percent_05", "percent_off", 0.05, "email", 1204, 88, 310.4),
    ("free_shipping", "free_shipping", None, "email", 948, 91, 228.9),
    ("coffee_10", "percent_off", 0.1, "app", 511, 84, 190.0),
    ("amount_5_from_40", "amount_off", 5.0, "email", 204, 97, 171.5),
    ("percent_20", "percent_off", 0.2, "email", 18, 92, 56.7),
)


def facts() -> Facts:
    return Facts(
        run_id="3f9c2ab41d07",
        as_of=date(2025, 9, 3),
        source="shop",
        code_version="0.1.0+0a1b2c3d",
        metrics={
            **{(name, "all"): number for name, number in METRICS.items()},
            ("response.chosen", "engine=gbt"): Number(1.0),
            ("response.chosen", "engine=logistic"): Number(0.0),
            ("uplift.ate", "all"): Number(0.0041, 0.0022, 0.006),
            ("uplift.ate", "offer=percent_20"): Number(0.0182, 0.0121, 0.0243),
            ("uplift.ate", "offer=content_push"): Number(-0.0031, -0.0092, 0.003),
            ("response.importance", "column=orders_364d"): Number(0.412),
            ("response.importance", "column=kind"): Number(0.155),
            ("response.importance", "column=gender"): Number(0.0),
            ("recommend.ndcg@10", "history=10 to 99 products"): Number(0.0912, 0.083, 0.099),
            ("recommend.hit_rate@10", "history=10 to 99 products"): Number(0.261, 0.25, 0.272),
            ("recommend.users", "history=10 to 99 products"): Number(1502.0),
            ("recommend.popularity.ndcg@10", "history=10 to 99 products"): Number(0.0207, 0.017, 0.024),
            ("recommend.ndcg@10", "history=no product"): Number(0.0214, 0.009, 0.034),
            ("recommend.users", "history=no product"): Number(341.0),
            ("recommend.popularity.ndcg@10", "history=no product"): Number(0.0214, 0.009, 0.034),
            ("offers.pairs", "rule=no_marketing_consent"): Number(12620.0),
            ("offers.pairs", "rule=expired"): Number(0.0),
            ("offers.pairs", "rule=passed"): Number(187000.0),
            **{("response.bin_predicted", f"group={i}"): Number(p) for i, (p, _) in enumerate(CALIBRATION)},
            ("response.rows", "use=all"): Number(260_000.0),
            ("response.rows", "use=train"): Number(200_000.0),
            ("response.rows", "use=straddling"): Number(0.0),
            ("response.rows", "use=no_history"): Number(1_470.0),
            **{("response.bin", f"group={i}"): Number(y, y - 0.004, y + 0.004) for i, (_, y) in enumerate(CALIBRATION)},
        },
        feeds=(
            Feed("clicks", 1284221, 1279104, 2561, 2556),
            Feed("orders", 61240, 60990, 122, 128),
            Feed("products", 2004, 2000, 4, 0),
            Feed("users", 20060, 20020, 40, 0),
            Feed("offers", 11, 11, 0, 0),
            Feed("offer_products", 0, 0, 0, 0),
            Feed("exposures", 260480, 259940, 300, 240),
            Feed("redemptions", 5120, 5101, 9, 10),
        ),
        rejections=(
            Rejection("clicks", "bot", 1311),
            Rejection("clicks", "malformed_json", 640),
            Rejection("clicks", "clock_skew", 605),
            Rejection("orders", "range", 128),
            Rejection("exposures", "unknown", 240),
            Rejection("redemptions", "missing", 10),
        ),
        checks=(
            Check("clicks", "volume", "stop", (), "", 40, value=0.21, low=0.33, high=3.0, passed=False),
            Check("order_lines", "range", "warn", ("quantity",), "", 61240, 312, 0.9949, 0.999, None, False, "8000"),
            Check("products", "set", "quarantine", ("brand",), "", 0, 0, None, 1.0, passed=None),
            Check("exposures", "unique", "stop", ("exposure_id",), "", 259940, 0, 1.0, 1.0),
        ),
        groups=(
            *(
                Group("model", name, kind, depth, channel, n, cost, 1.9 * cost)
                for name, kind, depth, channel, n, _, cost in OFFERS
            ),
            *(
                Group("explore", name, kind, depth, channel, n, 0.3 * n, 0.1 * n)
                for name, kind, depth, channel, _, n, _ in OFFERS
            ),
            Group("model", None, "none", None, None, 12701, 0.0, 0.0),
            Group("explore", None, "none", None, None, 95, 0.0, 0.0),
            Group("holdout", None, "none", None, None, 1028, 0.0, 0.0),
        ),
        silent={"best_value": 8312, "value_per_cost": 3127, "no_marketing_consent": 1262},
        promises=(
            Promise("app_points_200", 18700, 0.041, 0.018, 0.011, 0.21, 0.74),
            Promise("percent_05", 18700, 0.034, 0.21, 0.006, 0.05, 0.48),
            Promise("percent_20", 18700, 0.061, 1.42, 0.019, -0.61, 0.06),
        ),
        examples=(
            Example(
                "u0001234",
                "model",
                "percent_05",
                "percent_off",
                0.05,
                ("p0042", "p1077"),
                ("value=2.4100", "cost=0.3900", "uplift=0.0420", "p_redeem=0.1210", "price=0.8700"),
            ),
            Example("u0004321", "model", "app_points_200", "points", 200.0, (), ("value=1.1000", "cost=0.0180")),
        ),
        picks=Picks(
            users=19_566,
            products=1_480,
            catalogue=2_000,
            sources={"own": 98_000, "als": 280_000, "popular": 0},
            customers=(
                Customer("u0000042", ("Mountain coffee", "<b>Oats</b>"), (("Oats", "own"), ("Green tea", "als"))),
            ),
        ),
        stages=(Stage("prospect", 11311, 0.5781), Stage("loyal", 8255, 0.4219)),
        segments=(
            Segment("frequent, full price", 4210, 0.2152, 21.4, 1402.0, 1311.0),
            Segment("not buying", 8020, 0.4099, 0.0, 0.0, None),
        ),
        models={"als": "3f9c2ab41d07-1", "response": "3f9c2ab41d07-1"},
        jobs=(
            JobRun("ingest", 21.4, 1634140),
            JobRun("clean_clicks", 30.2, 1279104),
            JobRun("assign_offers", 12.0, 20020),
        ),
    )
