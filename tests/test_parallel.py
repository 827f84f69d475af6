"""Two at a time: order, errors, and what does not wait."""

from __future__ import annotations

import threading
import time

import pytest

from offerlake.parallel import both, side_by_side


def test_two_run_at_once_and_results_keep_their_order() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def met(number: int) -> int:
        meeting.wait()  # alone, nobody gets past it
        return number * number

    assert side_by_side(met, range(4)) == [0, 1, 4, 9]
    assert both(lambda: met(1), lambda: str(met(2))) == (1, "4")
    assert side_by_side(met, []) == []


def test_the_first_error_in_order_is_raised_when_all_that_began_has_ended() -> None:
    ended = []
    began = threading.Event()

    def late() -> None:
        began.set()
        time.sleep(0.2)
        ended.append("late")
        raise ValueError("late")

    def soon() -> None:
        began.wait(10)
        raise KeyError("soon")

    with pytest.raises(ValueError, match="late"):
        both(late, soon)
    began.clear()
    with pytest.raises(KeyError, match="soon"):
        both(soon, late)
    assert ended == ["late", "late"]


def test_ctrl_c_does_not_wait() -> None:
    release = threading.Event()

    def stopped() -> None:
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            both(stopped, lambda: release.wait(30))
        assert not release.is_set()
    finally:
        release.set()
