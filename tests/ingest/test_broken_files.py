"""Files that are cut off, damaged or closed: named, nothing written; mended they are read, with those beside them."""

from __future__ import annotations

import bz2
import gzip
import json
import operator
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from conftest import TEST_SETS
from offerlake import files
from offerlake.config import Settings
from offerlake.errors import DataError
from offerlake.ingest.feed import Batch, read_feed
from offerlake.ingest.mapping import Feed
from offerlake.job import Context, execute
from offerlake.pipeline import load_jobs
from offerlake.schemas.bronze import FEEDS
from offerlake.stream import stream
from offerlake.tables import Lake

ROWS = 4000
IDS = [f"{number:x}{number * 7919:x}" for number in range(ROWS)]
LINES = "".join(json.dumps({"product_id": name}) + "\n" for name in IDS).encode()
NOT_PACKED = LINES[:500]


def _zstd(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as packed:
        packed.write(content)
    return bytes(out.getvalue())


def _parquet(**how: Any) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"product_id": IDS}), out, use_dictionary=False, **how)
    return bytes(out.getvalue())


def _damaged(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


GZ, ZST, BZ2, SNAPPY, PLAIN = (
    gzip.compress(LINES), _zstd(LINES), bz2.compress(LINES), _parquet(),
    _parquet(compression="none", write_page_checksum=True),
)  # fmt: skip
BROKEN = {
    "gzip, cut in the middle": ("x.jsonl.gz", _half(GZ), GZ),
    "gzip, without its last byte": ("x.jsonl.gz", GZ[:-1], GZ),
    "gzip, damaged": ("x.jsonl.gz", _damaged(GZ, len(GZ) // 2), GZ),
    "no gzip": ("x.jsonl.gz", NOT_PACKED, GZ),
    "zstd, cut in the middle": ("x.jsonl.zst", _half(ZST), ZST),
    "no zstd": ("x.jsonl.zst", NOT_PACKED, ZST),
    "bzip2, cut in the middle": ("x.jsonl.bz2", _half(BZ2), BZ2),
    "no bzip2": ("x.jsonl.bz2", NOT_PACKED, BZ2),
    "Parquet, cut in the middle": ("x.parquet", _half(SNAPPY), SNAPPY),
    "Parquet, zero bytes": ("x.parquet", b"", SNAPPY),
    "Parquet, a packed page damaged": ("x.parquet", SNAPPY[:2000] + bytes(500) + SNAPPY[2500:], SNAPPY),
    "Parquet, a bit of a page with a sum flipped": ("x.parquet", _damaged(PLAIN, 2000), PLAIN),
}


def _read(spark: SparkSession, folder: Path) -> Batch:
    parts = [{"path": "*.jsonl*"}, {"path": "*.parquet", "format": "parquet"}, {"path": "*.avro", "format": "avro"}]
    there = [part for part in parts if list(folder.glob(part["path"]))]
    batch = read_feed(
        spark,
        "products",
        Feed(parts=there),
        landing=files.qualified(spark, str(folder)),
        known=(),
        loaded_at=datetime(2025, 9, 3, tzinfo=UTC),
        quote=20,
    )
    assert batch is not None
    return batch


def _ids(batch: Batch) -> list[str]:
    return sorted(row["product_id"] for row in batch.good.select("product_id").collect())


def _is_named_and_then_read(spark: SparkSession, folder: Path, name: str, broken: bytes, whole: bytes) -> None:
    (folder / "good.jsonl").write_text('{"product_id": "good"}\n', encoding="utf-8")
    (folder / name).write_bytes(broken)
    with pytest.raises(DataError) as caught:
        _read(spark, folder)
    assert caught.value.message.startswith(f"feed products: {name} cannot be read: ")
    assert caught.value.fix == "Land the file again, or remove it; check the mapping's format."
    (folder / name).write_bytes(whole)
    assert _ids(_read(spark, folder)) == sorted([*IDS, "good"])


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_named_and_read_when_it_is_mended(spark: SparkSession, tmp_path: Path, what: str) -> None:
    _is_named_and_then_read(spark, tmp_path, *BROKEN[what])


def _with_a_bit_flipped(content: bytes) -> bytes:
    return _damaged(content, len(content) // 2)


@pytest.mark.parametrize(
    "spoil", [_half, operator.itemgetter(slice(40)), operator.itemgetter(slice(0)), _with_a_bit_flipped]
)
def test_avro(spark: SparkSession, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    rows = spark.createDataFrame([(name,) for name in IDS], "product_id string")
    rows.coalesce(1).write.format("avro").save(str(tmp_path / "made"))
    (whole,) = (tmp_path / "made").glob("*.avro")
    (tmp_path / "in").mkdir()
    content = whole.read_bytes()
    _is_named_and_then_read(spark, tmp_path / "in", "x.avro", spoil(content), content)


def test_a_link_to_nothing_has_not_landed_yet(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text('{"product_id": "good"}\n', encoding="utf-8")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / ".later")
    assert _ids(_read(spark, tmp_path)) == ["good"]
    (tmp_path / ".later").write_text('{"product_id": "later"}\n', encoding="utf-8")
    assert _ids(_read(spark, tmp_path)) == ["good", "later"]


CLOSED = """
import json, sys
from datetime import UTC, datetime
from offerlake.config import load_settings
from offerlake.errors import DataError
from offerlake.ingest.feed import read_feed
from offerlake.ingest.mapping import Feed
from offerlake.session import open_session

spark = open_session(load_settings([], sys.argv[2:], env={}).spark, app="closed")
told = []
for path in ("file.jsonl", "folder/*.jsonl"):
    try:
        read_feed(spark, "products", Feed(path=path), landing="file:" + sys.argv[1], known=(),
                  loaded_at=datetime(2025, 9, 3, tzinfo=UTC), quote=20)
    except DataError as error:
        told.append([error.message, error.fix])
print(json.dumps(told))
"""


@pytest.mark.processes
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    """Permissions do not bind root, unless the reader has laid that right down."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.jsonl").write_bytes(NOT_PACKED)
    for closed in ("file.jsonl", "folder"):
        (tmp_path / closed).chmod(0)
    lay_down = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    look = f"import os; os.open({str(tmp_path / 'file.jsonl')!r}, os.O_RDONLY)"
    try:
        seen = subprocess.run([*lay_down, sys.executable, "-c", look], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("root may read everything, and there is no setpriv")
    if "Permission denied" not in seen.stderr:
        pytest.skip("root may read everything, and cannot lay that down here")
    command = [*lay_down, sys.executable, "-c", CLOSED, str(tmp_path), *TEST_SETS]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (file, file_fix), (folder, folder_fix) = json.loads(done.stdout.splitlines()[-1])
    assert file.startswith("feed products: file.jsonl cannot be read: ")
    assert folder.startswith("feed products: path 'folder/*.jsonl': ")
    assert file.count("Permission denied") == folder.count("Permission denied") == 1
    assert file_fix == folder_fix == "Let the user who runs this read it, or remove it."
    (tmp_path / "folder").chmod(0o755)  # so that it can be tidied away


class Shop:
    """A shop whose orders come in packed files, and its lake."""

    def __init__(self, spark: SparkSession, settings: Settings, folder: Path) -> None:
        landing = folder / "landing"
        self.orders = landing / "orders"
        self.orders.mkdir(parents=True)
        (landing / "users.jsonl").write_text('{"user_id": "u"}\n', encoding="utf-8")
        offer = {"offer_id": "o", "kind": "gift", "scope": "all", "valid_from": "2025-01-01", "valid_to": "2025-02-01"}
        (landing / "offers.jsonl").write_text(json.dumps(offer) + "\n", encoding="utf-8")
        feeds: dict[str, dict[str, Any]] = {
            "users": {"path": "users.jsonl"},
            "offers": {"path": "offers.jsonl"},
            "orders": {"path": "orders/*.gz", "arrival_lag_minutes": 5},
        }
        none = [name for name in FEEDS if name not in feeds]
        mapping = folder / "shop.yaml"
        mapping.write_text(yaml.safe_dump({"source": "shop", "feeds": feeds, "none": none}), encoding="utf-8")
        run = {"lake": str(folder / "lake"), "landing": str(landing), "source": str(mapping)}
        ingest = {"max_files": 1, "trigger_seconds": 0.2}
        self.spark, self.lake = spark, Lake(spark, run["lake"])
        self.settings = settings.model_copy(
            update={
                "run": settings.run.model_copy(update=run),
                "ingest": settings.ingest.model_copy(update=ingest),
            }
        )

    def land(self, name: str, *, whole: bool = True) -> None:
        order = {"line_id": 1, "user_id": "u", "product_id": "p", "order_time": "2025-01-06", "quantity": 1}
        lines = [json.dumps({"order_id": f"{name}{number}", **order}) for number in range(3)]
        packed = gzip.compress("\n".join([*lines, "broken"]).encode())
        (self.orders / f".{name}").write_bytes(packed if whole else packed[:-9])
        (self.orders / f".{name}").rename(self.orders / f"{name}.gz")

    def ingest(self) -> Context:
        job = load_jobs()["ingest"]
        return execute(job, spark=self.spark, settings=self.settings, as_of=date(2025, 1, 31), run_id="r")

    def listen(self, *, until: str = "") -> dict[str, int]:
        """`offerlake stream`, until it says something."""

        def tell(text: str) -> None:
            if until and text.startswith(until):
                os.kill(os.getpid(), signal.SIGTERM)

        return stream(self.spark, self.settings, tell=tell)

    def there(self) -> dict[str, int]:
        """Rows of orders by file, refused ones too."""
        names = [row["source"] for name in ("raw_orders", "quarantine") for row in self._rows(name)]
        return {name: names.count(name) for name in sorted(set(names))}

    def _rows(self, name: str) -> list[Any]:
        rows = self.lake.read(name) if self.lake.exists(name) else None
        return [] if rows is None else rows.where("source LIKE 'orders/%'").select("source").collect()


@pytest.fixture
def shop(spark: SparkSession, settings: Settings, tmp_path: Path) -> Shop:
    return Shop(spark, settings, tmp_path)


BAD = r"feed orders: b\.gz cannot be read: EOFException: Unexpected end of input stream"


def test_a_scheduled_run_writes_nothing_beside_a_broken_file_and_goes_on_without_it(shop: Shop) -> None:
    shop.land("a")
    shop.land("b", whole=False)
    with pytest.raises(DataError, match=BAD) as caught:
        shop.ingest()
    assert caught.value.exit_code == 1
    assert not any(shop.lake.exists(name) for name in ("raw_users", "raw_orders", "quarantine"))
    (shop.orders / "b.gz").unlink()
    assert shop.ingest().counts == {"rows_in": 6, "rows_out": 5, "quarantined": 1}

    shop.land("c")
    shop.land("b", whole=False)
    versions = shop.lake.version("raw_orders"), shop.lake.version("quarantine")
    with pytest.raises(DataError, match=BAD):
        shop.ingest()
    assert (shop.lake.version("raw_orders"), shop.lake.version("quarantine")) == versions
    shop.land("b")
    assert shop.ingest().counts == {"rows_in": 8, "rows_out": 6, "quarantined": 2}
    assert shop.there() == {"orders/a.gz": 4, "orders/b.gz": 4, "orders/c.gz": 4}
    assert shop.ingest().outputs == {}


def test_a_stream_stops_at_a_broken_file_and_goes_on_with_it_when_it_is_mended(shop: Shop) -> None:
    for name in "abc":
        shop.land(name, whole=name != "b")
    with pytest.raises(DataError, match=BAD):
        shop.listen()
    assert shop.there() == {"orders/a.gz": 4}, "one file at a time: what came before is in"
    shop.land("b")
    assert shop.listen(until="orders: 1 files, 4 records")["rows_in"] >= 4
    if "orders/c.gz" not in shop.there():
        shop.listen(until="orders: 1 files, 4 records")
    assert shop.there() == {"orders/a.gz": 4, "orders/b.gz": 4, "orders/c.gz": 4}


def test_a_stream_whose_folder_cannot_be_looked_into(shop: Shop) -> None:
    text = Path(shop.settings.run.source).read_text(encoding="utf-8")
    Path(shop.settings.run.source).write_text(text.replace("orders/*.gz", "orders/{*.gz"), encoding="utf-8")
    with pytest.raises(DataError, match=r"feed orders: path 'orders/{\*\.gz': .*Unclosed group") as caught:
        shop.listen()
    assert "mend its * and brackets" in caught.value.fix
