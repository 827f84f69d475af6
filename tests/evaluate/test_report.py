"""The page: it says the numbers given, escapes what is not ours, loads nothing, and claims no more than is known."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluate.made import METRICS, facts
from offerlake.decide import assignment
from offerlake.evaluate import words
from offerlake.evaluate.checks import Check, said
from offerlake.evaluate.facts import ColumnChange, Facts, Feed, Group, Number, Promise
from offerlake.evaluate.report import intake, quality, render, verdict

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "link", "img", "source", "br"}


class Page(HTMLParser):
    """Tags of a page, checked for balance, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data.replace("\u00a0", " ")

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in tags]


@pytest.fixture(scope="module")
def content() -> str:
    return render(facts())


@pytest.fixture(scope="module")
def page(content: str) -> Page:
    return Page(content)


def without(*names: str) -> Facts:
    base = facts()
    return replace(base, metrics={key: number for key, number in base.metrics.items() if key[0] not in names})


def test_it_says_the_numbers_it_was_given(page: Page) -> None:
    for text in (
        "3 September 2025",
        "The estimate is 1,310, the 95 % interval 402 to 2,219.",
        "Effects below about 1,298",
        "From 240,000 past offers to 19,567 customers",
        "Expected to cost 998.70 of a budget of 1,000 (99.9 %).",
        "5,743",  # customers with an offer
        "of 19,567 (29.4 %)",
        "68.1 %",  # AUC
        "67.0 % to 69.2 %",
        "whose outcome is known; 200,000 taught the models that were compared; 1,470 left out",
        "54.7 %",  # share of the oracle
        "−12.0 % to −4.6 %",
        "1,284,221",  # clicks received
        "Every record is accounted for.",
    ):
        assert text in page.text


def test_customers_come_in_kinds_and_are_foreseen(page: Page) -> None:
    rows = re.sub(r"\s+", " ", re.sub(r"(?<=\S)\n", " ", page.text))
    for text in ("Frequent, full price", "4,210", "21.5 %", "1,311", "97.1 %", "143.4 %", "25.0 % to 37.0 %"):
        assert text in rows
    for text in ("Prospects, who never ordered11,31157.8 %", "Loyal customers, who order often8,25542.2 %"):
        assert text in rows
    assert "Boosted trees 1." not in rows, "who was not judged has no row"
    base = facts()
    bare = replace(
        base, stages=(), segments=(), metrics={k: v for k, v in base.metrics.items() if not k[0].startswith("clv.")}
    )
    assert "Who the customers are" not in Page(render(bare)).text


def test_reasons_are_in_words(page: Page) -> None:
    assert "Expected to bring 2.41 more than without it, cost taken off; expected to cost 0.39" in page.text
    assert "The budget went to customers with whom it brings more" in page.text
    assert "It happened later than it arrived: a wrong clock" in page.text
    assert "uplift=" not in page.text


def test_what_is_not_as_expected_is_in_words(page: Page) -> None:
    for text in (
        "The data are not as expected. 4 expectations were checked, 2 are not met; 1 could not be judged.",
        "The last day has 0.21 times the records that its weekday had before; expected: 0.33 to 3.",
        "quantity is not what it should be in 312 of 61,240 records, such as 8000; expected in 0.1 % at most.",
        "No values of brand to judge.",
        "Too little to judge",
    ):
        assert text in page.text
    assert "exposure_id" not in page.text, "what is as expected is only counted"


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (Check("clicks", "freshness_days", "warn", (), "", 9, value=4.25, high=2.0, passed=False),
         "The newest record arrived 4.25 days before; expected: 2 at most."),
        (Check("clicks", "freshness_days", "warn", (), "", 0, high=2.0, passed=False), "Nothing has arrived."),
        (Check("clicks", "volume", "warn", (), "", 3, passed=None),
         "3 records on the last day, and nothing to compare them with."),
        (Check("clicks", "drift", "warn", ("price",), "", 9, value=0.314, high=0.2, passed=False),
         "The values of price have shifted by a stability index of 0.31; expected: 0.2 at most."),
        (Check("clicks", "drift", "warn", ("price",), "", 0, high=0.2, passed=None), "No values of price to compare."),
        (Check("users", "not_null", "stop", ("region",), "", 9, 3, 0.667, 1.0, passed=False),
         "region is missing in 3 of 9 records."),
        (Check("users", "unique", "stop", ("a", "b"), "", 9, 3, 0.667, 0.9, None, False, "1, 2"),
         "a, b was there before in 3 of 9 records, such as 1, 2; expected in 10.0 % at most."),
        (Check("clicks", "foreign_key", "warn", ("user_id",), "", 9, 3, 0.667, 1.0, None, False, "u9"),
         "user_id is not known in 3 of 9 records, such as u9."),
    ],
)  # fmt: skip
def test_each_kind_has_its_sentence(check: Check, text: str) -> None:
    assert said(check).replace("\u00a0", " ") == text


def test_the_data_are_as_expected_or_nobody_looked() -> None:
    base = facts()
    met = quality(replace(base, checks=base.checks[-1:]))
    assert (met.title, met.text, met.tone) == ("The data are as expected.", "1 expectations were checked.", "good")
    assert quality(replace(base, checks=())).title == "Nothing was checked."


def test_it_loads_nothing_from_elsewhere(content: str, page: Page) -> None:
    sources = [
        a.get(name) for a in page.all("img", "source", "a", "link", "script") for name in ("src", "srcset", "href")
    ]

    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in sources if source is not None)
    assert page.all("link", "script", "iframe") == []
    assert re.search(r"@import|url\(|https?://", content) is None


def test_it_can_be_read_without_seeing_it(page: Page) -> None:
    assert all(len(image["alt"] or "") > 20 for image in page.all("img"))
    assert len(page.all("img")) == 7
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(cell["scope"] in {"col", "row"} for cell in page.all("th"))
    named = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in named}
    assert page.tags[0] == ("html", {"lang": "en"})


def test_ids_and_names_from_data_are_escaped() -> None:
    base = facts()
    evil = render(
        replace(
            base,
            source=EVIL,
            groups=tuple(replace(group, offer_id=group.offer_id and EVIL, channel=EVIL) for group in base.groups),
            promises=tuple(replace(promise, offer_id=EVIL) for promise in base.promises),
            examples=tuple(
                replace(example, user_id=EVIL, products=(EVIL,), reasons=(f"{EVIL}=1",)) for example in base.examples
            ),
            rejections=tuple(replace(rejection, code=EVIL) for rejection in base.rejections),
            checks=tuple(replace(check, table=EVIL, example=EVIL, columns=(EVIL,)) for check in base.checks),
            columns=(ColumnChange(EVIL, EVIL, EVIL, (EVIL,), date(2025, 9, 3)),),
            silent={EVIL: 3},
            models={EVIL: EVIL},
            metrics={**base.metrics, ("uplift.ate", f"offer={EVIL}"): Number(0.01, 0.0, 0.02)},
        )
    )

    assert "<script" not in evil
    assert "&lt;script&gt;" in evil
    assert EVIL in Page(evil).text


def test_without_any_numbers_the_page_says_so() -> None:
    page = Page(render(Facts(run_id="r", as_of=date(2025, 9, 3), source="shop", code_version="0")))

    assert "Nobody was assigned anything in this run." in page.text
    assert "No records are counted in this run." in page.text
    assert "not known" in page.text
    assert page.all("img") == []


def test_null_metrics_are_dashes() -> None:
    base = facts()

    page = Page(render(replace(base, metrics=dict.fromkeys(base.metrics, Number(None)))))

    assert "not known" in page.text
    assert "None" not in page.text
    assert "nan" not in page.text


def test_without_a_control_group_nothing_is_incremental() -> None:
    base = without(
        "offers.value_dr",
        "offers.mde",
        "uplift.ate",
        *(name for name in METRICS if "oracle" in name or "published" in name),
    )
    books = (Promise("campaign_18", 1120, 0.21, 3.1, None, None, None),)

    page = Page(render(replace(base, promises=books)))

    assert "Nothing here is incremental." in page.text
    assert "What it truly brings" not in page.text
    assert "Always too rosy" not in page.text
    assert "Expected margin of uses" in page.text
    assert "Effect on buying" not in page.text


@pytest.mark.parametrize(
    ("low", "high", "title", "tone"),
    [
        (1.0, 9.0, "The offers bring extra margin.", "good"),
        (-1.0, 9.0, "No gain is proven.", ""),
        (0.0, 9.0, "No gain is proven.", ""),
        (-9.0, -1.0, "The offers lose money.", "bad"),
    ],
)
def test_no_gain_is_claimed_unless_the_interval_is_above_0(low: float, high: float, title: str, tone: str) -> None:
    base = facts()
    number = Number((low + high) / 2, low, high)

    said = verdict(replace(base, metrics={**base.metrics, ("offers.value_dr", "all"): number}))

    assert (said.title, said.tone) == (title, tone)


def test_what_changed_in_the_feeds_is_told() -> None:
    when = date(2025, 9, 2)
    changes = (
        ColumnChange("orders", "price", "object", ("number", "string"), when),
        ColumnChange("clicks", "colour", "string", (), when),
    )
    page = Page(render(replace(facts(), columns=changes)))
    for text in ("price", "is object in some records; it was number or string", "is new: string", "2 September 2025"):
        assert text in page.text
    assert "What changed in the feeds" not in Page(render(facts())).text


def test_records_that_went_missing_are_told() -> None:
    said = intake(replace(facts(), feeds=(Feed("orders", 10, 7, 1, 1), Feed("clicks", 5, 5, 0, 0))))

    assert said.title == "Records are missing."
    assert "Order lines (1)" in said.text


def test_no_clicks_are_mentioned() -> None:
    said = intake(replace(facts(), feeds=(Feed("orders", 10, 8, 1, 1), Feed("clicks", 0, 0, 0, 0))))

    assert said.title == "Every record is accounted for."
    assert "There are no clicks" in said.text


def test_what_is_recommended_and_why(page: Page, content: str) -> None:
    assert "19,566 customers have a list; 1,480 of 2,000 products are on one at least (74.0 %)." in page.text
    assert "Customers alike bought it280,00074.1 %" in page.text
    assert "Popular of late" not in page.text
    assert "u0000042Mountain coffee<b>Oats</b>Oats (bought before)Green tea (customers alike bought it)" in "".join(
        line.strip() for line in page.text.splitlines()
    )
    assert "<b>Oats" not in content


def test_without_recommendations_nothing_is_said_of_them() -> None:
    assert "What is recommended" not in Page(render(replace(facts(), picks=None))).text


def test_lift_is_over_what_everybody_buys(page: Page) -> None:
    """0.081 / 0.021, 0.064 / 0.021 and 1."""
    assert re.findall(r"to [\d.]+ %(\d\.\d\d)\d+\.\d %", page.text[page.text.index("Ways to pick ten") :]) == [
        "3.86",
        "3.05",
        "1.00",
    ]


def test_what_the_model_looks_at(page: Page) -> None:
    told = page.text[page.text.index("What it looks at") : page.text.index("Can the chances be trusted?")]

    assert re.search(r"orders_364d.+0\.412kind.+0\.155", told)
    assert "gender" not in told, "what changes nothing is not told"


def test_for_whom_products_are_found(page: Page) -> None:
    told = page.text[page.text.index("For whom they are found") :]

    assert re.search(r"10 to 99 products1,5029\.1.%8\.3.% to 9\.9.%26\.1.%2\.1.%", told)
    assert re.search(r"no product3412\.1.%0\.9.% to 3\.4.%–2\.1.%", told)


def test_long_tables_are_cut_and_say_so() -> None:
    many = tuple(Group("model", f"offer{n:03}", "gift", None, "email", 100 - n, 1.0, 2.0) for n in range(30))

    page = Page(render(replace(facts(), groups=many)))

    assert "offer024" in page.text
    assert "offer025" not in page.text
    assert "5 more are left out" in page.text


def test_the_same_facts_give_the_same_page(content: str) -> None:
    assert render(facts()) == content


def test_numbers_in_words() -> None:
    assert [words.money(x) for x in (None, 0.0, -0.001, 12.345, -12.3, 999.99, 1234.5)] == [
        "–", "0.00", "0.00", "12.35", "−12.30", "999.99", "1,234",
    ]  # fmt: skip
    assert [words.points(x) for x in (0.042, -0.003, 0.0, None)] == ["+4.2", "−0.3", "0.0", "–"]
    offers = (("percent_off", 0.125), ("amount_off", 5.0), ("points", None), ("new", 1.0))
    assert [words.offer(*offer) for offer in offers] == ["12.5 % off", "5 off", "Points", "new"]
    assert [words.reason(code) for code in ("p_redeem=0.1210", "eligible_offers=0", "own_code=1", "plain")] == [
        "used with a chance of 12.1\u00a0%", "no offer fits", "own_code=1", "plain",
    ]  # fmt: skip
    assert words.job("clean_orders") == "Check: order lines"


def test_whatever_reason_the_assignment_gives_has_words() -> None:
    text = Path(assignment.__file__).read_text(encoding="utf-8")
    codes = set(re.findall(r'"([a-z_]+)=[^"]*"', text)) | set(re.findall(r'number\("([a-z_]+)"', text))
    assert {"holdout", "explore", "offers_used_up", "best_value", "value_per_cost", "uplift"} <= codes
    assert {code for code in codes if words.reason(f"{code}=0.5") == f"{code}=0.5"} == set()
    silent = {
        code for code in codes if code not in ("value", "cost", "uplift", "p_redeem", "price", "holdout", "explore")
    }
    assert silent == words.SILENT.keys()
