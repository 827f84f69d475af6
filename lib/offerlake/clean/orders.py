"""Order lines and returns: typed, each line once, money checked."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.clean.accounts import refuse_test_accounts
from offerlake.clean.identities import attributed
from offerlake.clean.parse import Cell, Parser, with_typed
from offerlake.clean.quarantine import (
    FLAGS,
    GOOD,
    Cleaned,
    apart,
    because,
    expect,
    first_wins,
    mark_known,
    mark_products,
    refuse,
    refuse_unknown,
    settle,
    typed,
)
from offerlake.clean.rules import Rules
from offerlake.schemas import MONEY, table

FEED, JOB = "orders", "clean_orders"
LIST_PRICE = "_list_price"
"""Column beside the raw ones with the catalogue's price, where the source has none."""


def clean_orders(
    raw: DataFrame,
    *,
    products: DataFrame,
    users: DataFrame,
    rules: Rules,
    identities: DataFrame | None = None,
    large: bool = False,
    earlier: DataFrame | None = None,
) -> Cleaned:
    """Cleans the order log.

    Where the source has no prices, the catalogue's price when the order was placed stands in. A return is a line with a
    negative quantity and stays a row of its own. One before which its user never bought the product is refused. Two
    shuffles: by line, and by user and product.

    Args:
        raw: `raw_orders`.
        products: Silver `products`: which ids are known.
        users: Silver `users`, likewise.
        identities: Silver `identities`; None: the source has none.
        rules: By what records are judged.
        large: Whether `raw` is, see `first_wins`.
        earlier: Silver `order_lines` of the days that `raw` does not have; None: it has all.
    """

    def judged(some: DataFrame) -> DataFrame:
        if not rules.reading.has_prices:
            some = _with_list_prices(some, products, rules.parse)
        typed = attributed(expect(parsed(some, rules.parse), rules.expected), identities, F.col("user_id"))
        return refuse_test_accounts(typed, rules)

    kept = first_wins(raw, judged, [rules.parse.text(name) for name in ("order_id", "line_id")], large=large)
    strict = rules.settings.unknown_products == "quarantine"
    kept = mark_products(kept, products, strict=strict, quote=rules.quote)
    if rules.settings.unknown_users == "quarantine":
        kept = refuse_unknown(kept, "user_id", users, quote=rules.quote)
    same = Window.partitionBy("_user", "product_id")
    bought = F.min(F.when(F.col("quantity") > 0, F.col("order_time"))).over(same)
    orphan = (F.col("quantity") < 0) & ~F.coalesce(F.col("_bought") <= F.col("order_time"), F.lit(False))
    kept = kept.withColumn("_user", apart(F.col("user_id"))).withColumn("_bought", bought)
    if earlier is not None:
        kept = _with_earlier(kept, earlier)
    kept = refuse(kept, orphan, because("return_without_purchase", "product_id", quote=rules.quote))
    kept = mark_known(kept, "user_id", users, flag=FLAGS["unknown_users"])
    return settle(table("order_lines"), FEED, JOB, kept, flags=FLAGS, happened="order_time")


def _with_earlier(lines: DataFrame, earlier: DataFrame) -> DataFrame:
    """Puts a purchase in `earlier` into `_bought` of returns. The products that came back are broadcast."""
    returned = lines.where((F.col("_status") == GOOD) & (F.col("quantity") < 0)).select("user_id", "product_id")
    before = (
        earlier.where("quantity > 0")
        .join(F.broadcast(returned.distinct()), on=["user_id", "product_id"], how="left_semi")
        .groupBy("user_id", "product_id")
        .agg(F.min("order_time").alias("_before"))
    )
    joined = lines.join(F.broadcast(before), on=["user_id", "product_id"], how="left")
    return joined.withColumn("_bought", F.least("_bought", "_before")).drop("_before")  # least passes over nulls


def _with_list_prices(raw: DataFrame, products: DataFrame, parse: Parser) -> DataFrame:
    """Adds LIST_PRICE: that of the newest version of the product before the order, else of its first.

    The prices are broadcast: some millions of versions at most.
    """
    told = F.array_sort(F.collect_list(F.struct("arrived_at", "price")))
    prices = products.where("price IS NOT NULL").groupBy(F.col("product_id").alias("_id")).agg(told.alias("_prices"))
    placed, product = parse.instant("order_time"), parse.text("product_id")
    before = F.filter("_prices", lambda version: version["arrived_at"] <= placed.value)
    price = F.coalesce(F.try_element_at(before, F.lit(-1)), F.try_element_at("_prices", F.lit(1)))["price"]
    typed = with_typed(raw, [placed, product])
    joined = typed.join(F.broadcast(prices), product.value == F.col("_id"), how="left")
    return joined.select(*raw.columns, price.alias(LIST_PRICE))


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records; `raw` may have LIST_PRICE, for those without a price."""
    most = parse.settings.max_quantity
    happened = parse.instant("order_time", required=True)
    rate = parse.exchange(happened.value)
    quantity = parse.integer("quantity", low=-most, high=most, required=True)
    price, net = parse.money("unit_price", rate), parse.money("net_amount", rate, low=-parse.settings.max_money)
    if LIST_PRICE in raw.columns:
        listed = F.when(net.value.isNull(), F.col(LIST_PRICE))
        price = replace(price, value=F.coalesce(price.value, listed))
    cells = (
        parse.text("order_id", required=True),
        parse.text("line_id", required=True),
        parse.text("user_id", required=True),
        parse.text("product_id", required=True),
        happened,
        parse.arrival(happened),
        quantity.refuse("range", quantity.value == 0, parse.shown("quantity")),
        *_amounts(
            quantity.value,
            price,
            parse.money("discount", rate, default=0.0),
            net,
        ),
        parse.money("coupon_amount", rate),
        parse.text("offer_id"),
    )
    return typed(raw, FEED, cells, [rate.problem])


def _amounts(quantity: Column, price: Cell, discount: Cell, net: Cell) -> tuple[Cell, Cell, Cell]:
    """Works out the price or the net amount from the other one, where one is missing.

    net_amount = sign of quantity × (|quantity| × unit_price − discount): a return gives back what was paid.
    """
    units = F.abs(quantity.cast("decimal(10,0)"))
    gross = F.try_multiply(units, price.value)
    from_price = F.try_subtract(gross, discount.value).try_cast(MONEY)
    from_net = F.try_divide(F.try_add(F.abs(net.value), discount.value), units).try_cast(MONEY)
    full_net = F.coalesce(net.value, F.when(quantity < 0, F.negative(from_price)).otherwise(from_price))
    full_price = F.coalesce(price.value, from_net)
    missing = price.problem.isNull() & net.problem.isNull() & price.value.isNull() & net.value.isNull()
    lacking = F.when(missing, F.lit("missing:unit_price"))
    priced = replace(price, value=full_price, problem=F.coalesce(price.problem, lacking))
    turned = ((quantity > 0) & (full_net < 0)) | ((quantity < 0) & (full_net > 0))
    return priced, discount, replace(net, value=full_net).refuse("range", turned, full_net)
