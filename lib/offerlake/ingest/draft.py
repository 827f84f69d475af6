"""Drafts a mapping from samples of a shop's files: the feed of each, its columns, how values are written.

A draft is a guess by names and by values, and says what it is not sure of; `offerlake source check` proves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from offerlake.ingest.mapping import ANY, EVENTS, NEVER_NONE, POSITION, REQUIRED
from offerlake.ingest.vocabulary import EVENT_WORDS, FILES, FOREIGN, NAMES, TELLING
from offerlake.schemas.bronze import FEEDS
from offerlake.schemas.silver import EVENT_TYPES

_PATTERNS = {
    "dd.MM.yyyy HH:mm:ss": "%d.%m.%Y %H:%M:%S",
    "dd.MM.yyyy HH:mm": "%d.%m.%Y %H:%M",
    "dd.MM.yyyy": "%d.%m.%Y",
    "dd/MM/yyyy HH:mm:ss": "%d/%m/%Y %H:%M:%S",
    "dd/MM/yyyy HH:mm": "%d/%m/%Y %H:%M",
    "dd/MM/yyyy": "%d/%m/%Y",
    "MM/dd/yyyy HH:mm:ss": "%m/%d/%Y %H:%M:%S",
    "MM/dd/yyyy HH:mm": "%m/%d/%Y %H:%M",
    "MM/dd/yyyy": "%m/%d/%Y",
    "yyyy/MM/dd HH:mm:ss": "%Y/%m/%d %H:%M:%S",
    "yyyyMMddHHmmss": "%Y%m%d%H%M%S",
    "yyyyMMdd": "%Y%m%d",
}
_ISO = re.compile(r"\d{4}-\d\d-\d\d($|[T ]\d\d:\d\d)")
_EPOCHS = ("epoch_s", "epoch_ms")
_TIMES = ("event_time", "order_time", "shown_at", "redeemed_at", "arrived_at", "signup_time", "valid_from", "valid_to")
_NUMBERS = ("price", "unit_price", "discount", "net_amount", "coupon_amount", "unit_cost", "value", "min_spend",
            "depth", "cost_per_redemption", "propensity")  # fmt: skip
_LAG = 60


@dataclass(frozen=True)
class Sample:
    """The first records of files that are alike.

    Attributes:
        path: Where they lie, as a mapping says it.
        format: As a mapping says it.
        columns: Names of their columns.
        rows: Records: column to text, or None.
        separator: Of CSV.
        header: Of CSV without a header line: the names that stand in for it.
        multi_line: Of CSV: whether quoted texts have line breaks.
        note: Why there are no columns.
    """

    path: str
    format: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, str | None]]
    separator: str = ","
    header: tuple[str, ...] = ()
    multi_line: bool = False
    note: str = ""

    def texts(self, column: str) -> list[str]:
        """What stands in a column, where something does."""
        return [text for row in self.rows if (text := (row.get(column) or "").strip())]

    def filled(self, column: str) -> bool:
        """Whether every record has something in a column."""
        return len(self.texts(column)) == len(self.rows)


@dataclass
class _Drafted:
    """A feed's mapping as it grows, and what a person has to look at."""

    tree: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def draft(name: str, samples: Sequence[Sample]) -> str:
    """Drafts a mapping.

    Args:
        name: The source's name.
        samples: Of each kind of files one.

    Returns:
        The YAML text, its doubts as comments.
    """
    by_feed: dict[str | None, list[Sample]] = {}
    for sample in samples:
        by_feed.setdefault(feed_of(sample), []).append(sample)
    strange = [f"{sample.path} {sample.note or 'looks like none of the feeds'}." for sample in by_feed.pop(None, [])]
    feeds = {str(feed): _feed(str(feed), its, visitors="users" not in by_feed) for feed, its in by_feed.items()}
    log = by_feed.get("clicks", by_feed.get("orders", []))
    if len(log) == 1:
        _add_from_log(feeds, log[0])
    for feed in NEVER_NONE:
        if feed not in feeds:
            lacking = _Drafted({"path": f"{feed}/*.jsonl", "format": "jsonl"})
            lacking.notes.append(f"No file looks like {feed}; without them nothing can be assigned: write them.")
            feeds[feed] = lacking
    return _text(name, {feed: feeds[feed] for feed in FEEDS if feed in feeds}, strange)


def feed_of(sample: Sample) -> str | None:
    """The feed that a sample looks most like, by its columns and its file's name; None where it looks like none."""
    if not sample.columns:
        return None
    folder, _, file = sample.path.rpartition("/")
    names = [(feed, word) for feed, words in FILES.items() for word in words.split()]
    named = next((feed for place in (file, folder) for feed, word in names if word in _plain(place)), None)
    if sample.header:
        return named
    event = _columns("clicks", sample.columns)
    scores = {}
    for feed in FEEDS:
        mapped = _columns(feed, sample.columns)
        telling = sum(name in mapped for name in TELLING[feed].split())
        made = _made(feed, mapped, sample)
        lacking = sum(name not in mapped and name not in made for name in REQUIRED[feed])
        foreign = sum(name in event for name in FOREIGN.get(feed, ()))
        scores[feed] = 2 * telling - lacking - 4 * foreign + (3 if feed == named else 0)
    best = max(scores, key=lambda feed: scores[feed])
    return best if scores[best] > 0 else None


def _feed(feed: str, samples: Sequence[Sample], *, visitors: bool) -> _Drafted:
    """A feed of one kind of files, or of several as parts."""
    groups = [_group(feed, sample, visitors=visitors) for sample in samples]
    if len(samples) == 1:
        return groups[0]
    whole = _Drafted({}, sorted({note for group in groups for note in group.notes}))
    trees = [group.tree for group in groups]
    words = {word: ours for tree in trees for word, ours in tree.pop("values", {}).get("event_type", {}).items()}
    if words:
        whole.tree["values"] = {"event_type": words}
    forms = _in_order([form for tree in trees for form in _list(tree.pop("time_format", "iso"))])
    if forms != ["iso"]:
        whole.tree["time_format"] = forms
    for tree in trees:
        whole.tree |= {key: tree.pop(key) for key in ("decimal", "arrival_lag_minutes") if key in tree}
    if "decimal" in whole.tree:
        whole.notes.append("Some files have decimal commas: they are taken for those of all parts.")
    whole.tree["parts"] = trees
    return whole


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _in_order(forms: Iterable[str]) -> list[str]:
    """Forms of times, so that the first that fits is the right one: a day as yyyyMMdd could be a number of seconds."""
    return sorted(dict.fromkeys(forms), key=lambda form: form in _EPOCHS)


def _group(feed: str, sample: Sample, *, visitors: bool) -> _Drafted:
    """One kind of files; `visitors`: the source knows its users as visitors only, if it does not name them."""
    mapped = _people(feed, sample.columns, visitors=visitors)
    drafted = _Drafted({"path": sample.path, "format": sample.format})
    tree, notes = drafted.tree, drafted.notes
    if sample.format == "csv" and sample.separator != ",":
        tree["separator"] = sample.separator
    if sample.header:
        tree["header"] = list(sample.header)
        notes.append("The file has no header line: name its columns under header, then map them.")
    if sample.multi_line:
        tree["multi_line"] = True
    if "*" not in sample.path and sample.format != "delta":
        notes.append("Only this very file is read: put a * where the names of later ones differ.")
    columns: dict[str, Any] = {ours: theirs for ours, theirs in mapped.items() if ours != theirs}
    if "user_id" in mapped and mapped["user_id"] == _columns("clicks", sample.columns).get("anonymous_id"):
        notes.append(f"There are no users but visitors: {mapped['user_id']} is taken as the user.")
    constants: dict[str, str | None] = {}
    for ours, way in _made(feed, mapped, sample).items():
        if isinstance(way, tuple):
            columns[ours] = way[0] if len(way) == 1 else list(way)
            if ours == REQUIRED[feed][0]:
                alike = "no two are alike" if way == (POSITION,) else "records with the same of these are one"
                notes.append(f"No column is {ours}: it is made of {', '.join(way)}; {alike}.")
        else:
            constants[ours] = way
    _stand_in(feed, sample, mapped, constants, notes)
    known = {*mapped, *columns, *constants}
    notes += [f"Nothing looks like {ours}, which {feed} need: map it." for ours in REQUIRED[feed] if ours not in known]
    tree |= {key: told for key, told in (("columns", columns), ("constants", constants)) if told}
    _values(feed, sample, mapped, drafted)
    return drafted


def _stand_in(
    feed: str, sample: Sample, mapped: Mapping[str, str], constants: dict[str, str | None], notes: list[str]
) -> None:
    """What is true of all records of a source that does not say it."""
    if feed == "clicks" and "event_type" not in mapped:
        constants["event_type"] = _event_of(sample.path)
        notes.append(f"No column says what happened: all are taken as {constants['event_type']}.")
    if feed == "orders" and not {"unit_price", "net_amount"} & mapped.keys():
        constants |= {"unit_price": None, "net_amount": None}
        notes.append("No column has prices: the catalogue's price at the order's time stands in.")


def _columns(feed: str, theirs: Sequence[str]) -> dict[str, str]:
    """Our column to theirs: the same name first, then one that others use for it; each of theirs once."""
    plain = {_plain(name).replace("_", ""): name for name in reversed(theirs)}
    found: dict[str, str] = {}
    for wanted in (lambda ours: [ours], lambda ours: NAMES[ours].split()):
        for ours in FEEDS[feed]:
            if ours in found:
                continue
            known = (plain.get(name.replace("_", "")) for name in wanted(ours))
            named = next((name for name in known if name is not None and name not in found.values()), None)
            if named is not None:
                found[ours] = named
    return found


def _people(feed: str, theirs: Sequence[str], *, visitors: bool) -> dict[str, str]:
    """The same; visitors are users where the source has no others, and where an order has no other buyer."""
    found = _columns(feed, theirs)
    if "user_id" in FEEDS[feed] and "user_id" not in found and (visitors or feed != "clicks"):
        visitor = found.pop("anonymous_id", None) or _columns("clicks", theirs).get("anonymous_id")
        if visitor:
            found["user_id"] = visitor
    return found


def _made(feed: str, mapped: Mapping[str, str], sample: Sample) -> dict[str, tuple[str, ...] | str]:
    """What a feed needs and a source lacks: columns that stand in for it, or a constant."""
    made: dict[str, tuple[str, ...] | str] = {}
    who = [mapped[name] for name in ("user_id", "anonymous_id", "session_id") if name in mapped][:1]

    def ids(name: str, *parts: str) -> None:
        there = list(
            dict.fromkeys([*(who if "who" in parts else []), *(mapped[part] for part in parts if part in mapped)])
        )
        if name not in mapped and there:
            made[name] = tuple(there) if all(map(sample.filled, there)) else (POSITION,)

    if feed == "clicks":
        ids("event_id", "who", "event_time", "event_type", "product_id")
        known = "user_id" in mapped and sample.filled(mapped["user_id"])
        if not known and "anonymous_id" not in mapped and "session_id" in mapped:
            made["anonymous_id"] = (mapped["session_id"],)
    elif feed == "orders":
        ids("order_id", "who", "order_time")
        ids("line_id", "product_id")
        if "quantity" not in mapped:
            made["quantity"] = "1"
    elif feed == "exposures":
        ids("exposure_id", "who", "offer_id", "shown_at")
        if "policy" not in mapped:
            made["policy"] = "unknown"
    elif feed == "redemptions":
        ids("redemption_id", "who", "offer_id", "redeemed_at")
    return made


def _values(feed: str, sample: Sample, mapped: Mapping[str, str], drafted: _Drafted) -> None:
    """How times, numbers and event types are written."""
    tree, notes = drafted.tree, drafted.notes
    times = [sample.texts(mapped[name]) for name in _TIMES if name in mapped]
    told = [time_form(texts) for texts in times if texts]
    forms = _in_order(form for form, _ in told)
    if forms not in ([], ["iso"]):
        tree["time_format"] = forms if len(forms) > 1 else forms[0]
    notes += dict.fromkeys(doubt for _, doubt in told if doubt)
    if any(form not in _EPOCHS for form in forms):
        notes.append("Times that name no zone are taken as UTC: else give time_zone.")
    numbers = [text for name in _NUMBERS if name in mapped for text in sample.texts(mapped[name])]
    if sample.format == "csv" and decimal_comma(numbers):
        tree["decimal"] = ","
    if "event_type" in mapped and feed == "clicks":
        words = sorted(set(sample.texts(mapped["event_type"])))
        ours = {word: meaning for word in words if (meaning := event_type(word)) and meaning != word}
        if ours:
            tree["values"] = {"event_type": ours}
        unknown = [word for word in words if event_type(word) is None]
        if unknown:
            notes.append(f"Of event_type, say in values what these mean: {', '.join(unknown[:10])}.")
    if feed in EVENTS and "arrived_at" not in mapped:
        tree["arrival_lag_minutes"] = _LAG
        notes.append("No column says when a record became known: taken as an hour after it happened.")


def _add_from_log(feeds: dict[str, _Drafted], log: Sample) -> None:
    """Feeds that a log tells of where they have no files of their own: its purchases, its products, its users."""
    event = "clicks" if "clicks" in feeds else "orders"
    mapped = _people(event, log.columns, visitors="users" not in feeds)
    kinds = set(log.texts(mapped["event_type"])) if "event_type" in mapped else set()
    bought = sorted(word for word in kinds if event_type(word) == "purchase")
    described = _columns("products", log.columns)
    telling = {
        "orders": bool(bought) and "user_id" in mapped,
        "products": "product_id" in described
        and not described.keys().isdisjoint({"category", "brand", "name", "price"}),
        "users": "user_id" in mapped,
    }
    for feed in (feed for feed, told in telling.items() if told and feed not in feeds):
        tree = _group(feed, log, visitors=True).tree
        key = REQUIRED[feed][0]
        if feed == "orders":
            tree["only"] = {mapped["event_type"]: bought}
        else:
            # Known since the event; what else the record of an event says of a user is the event's.
            own = mapped["user_id"] if feed == "users" else described[key]
            since = mapped.get("event_time", mapped.get("order_time"))
            columns = {} if feed == "users" else {**tree.get("columns", {})}
            tree["columns"] = {**columns, key: own, **({"arrived_at": since} if since else {})}
            if feed == "users":
                taken = [name for name in FEEDS["users"] if name in _columns("users", log.columns)]
                tree["constants"] = {name: None for name in taken if name not in tree["columns"]}
            tree["only"] = {own: ANY}
            form = time_form(log.texts(since))[0] if since else "iso"
            tree |= {"time_format": form} if form != "iso" else {}
        feeds[feed] = _Drafted(tree, [f"No file of their own: taken from {log.path}."])


def time_form(texts: Sequence[str]) -> tuple[str, str | None]:
    """How times are written, and a doubt about it."""
    if not texts:
        return "iso", None
    if all(re.fullmatch(r"\d{9,10}(\.\d+)?", text) for text in texts):
        return "epoch_s", None
    if all(re.fullmatch(r"\d{12,13}(\.\d+)?", text) for text in texts):
        return "epoch_ms", None
    if all(_ISO.match(text) for text in texts):
        return "iso", None
    fitting = [form for form, pattern in _PATTERNS.items() if all(_fits(text, pattern) for text in texts)]
    if not fitting:
        return "iso", f"How times are written is not clear, as in {texts[0]!r}: give time_format."
    doubt = f"Times fit {fitting[0]} and {fitting[1]} alike: check which it is." if len(fitting) > 1 else None
    short = any(re.search(r"(^|\D)\d(\D|$)", text) for text in texts)
    return re.sub(r"dd|MM|HH", lambda two: two[0][0], fitting[0]) if short else fitting[0], doubt


def _fits(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)  # noqa: DTZ007  only the form matters
    except ValueError:
        return False
    return True


def decimal_comma(texts: Sequence[str]) -> bool:
    """Whether numbers have a comma before their fraction."""
    return any(re.fullmatch(r"[+-]?[\d.]*\d,\d{1,2}|[+-]?\d{1,3}(\.\d{3})+,\d+", text) for text in texts)


def event_type(word: str) -> str | None:
    """Our event type for a word of theirs."""
    plain = _plain(word)
    if plain in EVENT_TYPES:
        return plain
    return next((ours for ours, words in EVENT_WORDS.items() if plain in words.split()), None)


def _event_of(path: str) -> str:
    parts = re.split(r"[^a-z]+", _plain(path.rpartition("/")[2] or path))
    singular = [part.removesuffix("s") for part in parts]
    return next((found for part in (*parts, *singular) if (found := event_type(part))), "view")


def _plain(name: str) -> str:
    """Words in lower case with _ between them."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")


def _text(name: str, feeds: Mapping[str, _Drafted], strange: Sequence[str]) -> str:
    said = yaml.safe_dump({"source": name}, allow_unicode=True).strip()
    lines = ["# Drafted from files; `offerlake source check` says whether it fits.", said, "feeds:"]
    for feed, drafted in feeds.items():
        lines.append(f"  {feed}:")
        lines += [f"    # {note}" for note in drafted.notes]
        body = yaml.safe_dump(drafted.tree, sort_keys=False, allow_unicode=True, width=110)
        lines += [f"    {line}" for line in body.splitlines()]
    lines += [f"# {line}" for line in strange]
    lines.append(f"none: [{', '.join(feed for feed in FEEDS if feed not in feeds)}]")
    return "\n".join(lines) + "\n"
