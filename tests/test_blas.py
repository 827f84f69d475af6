"""SciPy's OpenBLAS under the names that Java looks for."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from offerlake import blas
from offerlake.errors import EnvironmentProblem


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the libraries go: nowhere yet."""
    monkeypatch.setattr(blas, "own_dir", lambda name: tmp_path / name)
    return tmp_path / "native"


@pytest.mark.parametrize("name", ["libblas.so.3", "liblapack.so.3"])
def test_the_library_computes_under_the_usual_names(folder: Path, name: str) -> None:
    assert blas.libraries() == folder
    library = ctypes.CDLL(str(folder / name))
    x = np.array([1.0, 2.0, 3.0])
    packed = np.zeros(6)
    number = [ctypes.byref(ctypes.c_int(n)) for n in (3, 1)]
    pointer = [array.ctypes.data_as(ctypes.POINTER(ctypes.c_double)) for array in (x, packed)]

    library.dspr_(
        ctypes.c_char_p(b"U"), number[0], ctypes.byref(ctypes.c_double(2.0)), pointer[0], number[1], pointer[1]
    )

    assert packed.tolist() == [2.0, 4.0, 8.0, 6.0, 12.0, 18.0]
    assert library.dppsv_ is not None


def test_it_is_made_once_and_again_for_another_scipy(folder: Path) -> None:
    def made() -> int:
        return (blas.libraries() / "libblas.so.3").stat().st_ino

    first = made()
    assert made() == first
    (folder / "source").write_text("libscipy_openblas-old.so", encoding="utf-8")
    assert made() != first
    assert re.fullmatch(r"libscipy_openblas-\w+\.so", (folder / "source").read_text(encoding="utf-8"))
    assert sorted(path.name for path in folder.iterdir()) == ["libblas.so.3", "liblapack.so.3", "source"]


def test_what_is_missing_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(EnvironmentProblem, match="patchelf is missing"):
        blas.libraries()
    assert not (folder / "libblas.so.3").exists()
    monkeypatch.setattr(blas, "own_dir", lambda _: tmp_path / "file" / "below")
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        blas.libraries()


def test_spark_uses_it(spark: SparkSession) -> None:
    java = spark._jvm
    assert java is not None
    assert java.dev.ludovic.netlib.blas.NativeBLAS.getInstance().getClass().getSimpleName() == "JNIBLAS"
    assert java.dev.ludovic.netlib.lapack.NativeLAPACK.getInstance().getClass().getSimpleName() == "JNILAPACK"
