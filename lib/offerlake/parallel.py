"""Independent pieces of work of one job, two at a time: the driver's work for one fills the pauses of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
Other = TypeVar("Other")


def side_by_side(make: Callable[[Given], Made], of: Iterable[Given]) -> list[Made]:
    """`make` of each, in order. The first error, in order, is raised when what has begun has ended."""
    with _pool() as pool:
        return list(pool.map(make, of))


def both(one: Callable[[], Made], other: Callable[[], Other]) -> tuple[Made, Other]:
    """What each of two gives; errors as in `side_by_side`."""
    with _pool() as pool:
        first, second = pool.submit(one), pool.submit(other)
        return first.result(), second.result()


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Two threads; what is no Exception, such as Ctrl-C, does not wait for them."""
    pool = ThreadPoolExecutor(max_workers=2)
    wait = True
    try:
        yield pool
    except BaseException as error:
        wait = isinstance(error, Exception)
        raise
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)
