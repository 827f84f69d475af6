"""How each feed's raw records are typed."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame

from offerlake.clean import clicks, exposures, identities, offer_products, offers, orders, products, redemptions, users
from offerlake.clean.parse import Parser

PARSED: dict[str, Callable[[DataFrame, Parser], DataFrame]] = {
    "clicks": clicks.parsed,
    "orders": orders.parsed,
    "products": products.parsed,
    "users": users.parsed,
    "identities": identities.parsed,
    "offers": offers.parsed,
    "offer_products": offer_products.parsed,
    "exposures": exposures.parsed,
    "redemptions": redemptions.parsed,
}
