"""How each feed's raw records are typed."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame

from offerlake.clean import clicks, exposures, offer_products, offers, orders, products, redemptions, users
from offerlake.clean.parse import Parser
from offerlake.config import CleanSettings

PARSED: dict[str, Callable[[DataFrame, CleanSettings, Parser], DataFrame]] = {
    "clicks": clicks.parsed,
    "orders": orders.parsed,
    "products": products.parsed,
    "users": lambda raw, _, parse: users.parsed(raw, parse),
    "offers": offers.parsed,
    "offer_products": lambda raw, _, parse: offer_products.parsed(raw, parse),
    "exposures": exposures.parsed,
    "redemptions": redemptions.parsed,
}
