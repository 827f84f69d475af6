"""Jobs side by side: each as soon as those whose output it reads have ended, a few at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from graphlib import TopologicalSorter

from offerlake.job import Job


@dataclass(frozen=True)
class Progress:
    """One step of a run, as told to whoever shows it: `state` is start, done or skipped."""

    job: str
    state: str
    number: int
    of: int
    seconds: float = 0.0


def upstream(jobs: dict[str, Job]) -> dict[str, set[str]]:
    """Each job's name to those whose output it reads.

    `quarantine` is written by several jobs, each its own slice; who reads it comes after all of them. What a gate has
    to pass, others read only after it.
    """
    writers: dict[str, set[str]] = {}
    for job in jobs.values():
        for name in job.writes:
            writers.setdefault(name, set()).add(job.name)
    before = {
        job.name: {writer for name in job.reads for writer in writers.get(name, set()) if writer != job.name}
        for job in jobs.values()
    }
    for gate in [job for job in jobs.values() if job.gate]:
        ahead = {gate.name, *_all_before(before, gate.name)}
        for job in jobs.values():
            if job.name not in ahead and {*job.reads} & {*gate.reads}:
                before[job.name].add(gate.name)
    return before


def _all_before(before: dict[str, set[str]], name: str) -> set[str]:
    """All that a job waits for, directly or not."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        new = before[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def _chains_behind(before: dict[str, set[str]]) -> dict[str, int]:
    """Of each job, how many others have to run one after the other once it has ended, at most."""
    behind = dict.fromkeys(before, 0)
    for name in reversed(list(TopologicalSorter(before).static_order())):
        for earlier in before[name]:
            behind[earlier] = max(behind[earlier], behind[name] + 1)
    return behind


class Lanes:
    """Runs jobs in the order of their tables; the main thread is one of the lanes.

    Attributes:
        jobs: What is to be run, in an order that respects the graph. Of several that could run that one does which has
            the longest chain of jobs behind it, else the first.
        done: Names of those that an earlier run had finished: left out as long as nothing before them changes.
        work: Runs one job; says whether it changed anything.
        tell: Is told of each start and end.
    """

    def __init__(
        self, jobs: dict[str, Job], done: set[str], *, work: Callable[[Job], bool], tell: Callable[[Progress], None]
    ) -> None:
        self._jobs, self._done, self._work, self._tell = jobs, done, work, tell
        self._graph = {name: before & jobs.keys() for name, before in upstream(jobs).items()}
        self._sorter = TopologicalSorter(self._graph)
        behind = _chains_behind(self._graph)
        self._rank = {name: (-behind[name], place) for place, name in enumerate(jobs)}
        self._ready: list[str] = []
        self._changed: set[str] = set()
        self._ended = 0
        self._error: BaseException | None = None
        self._moved = threading.Condition()

    def run(self, lanes: int) -> None:
        """Runs all jobs on that many threads; the first error is raised when the jobs beside it have ended.

        What is no Exception, such as Ctrl-C, is raised at once.
        """
        self._sorter.prepare()
        helpers = [threading.Thread(target=self._lane, args=(False,), daemon=True) for _ in range(lanes - 1)]
        for helper in helpers:
            helper.start()
        try:
            self._lane(main=True)
        except BaseException as error:  # such as Ctrl-C while this thread waited
            self._stop(error)
            raise
        for helper in helpers:
            helper.join()
        if self._error is not None:
            raise self._error

    def _lane(self, main: bool) -> None:
        while (name := self._next(main=main)) is not None:
            job = self._jobs[name]
            self._say(name, "start")
            begun = time.monotonic()
            try:
                changed = self._work(job)
            except BaseException as error:
                self._stop(error)
                if main and not isinstance(error, Exception):
                    raise
                return
            seconds = time.monotonic() - begun
            self._end(name, "done", changed=changed or not job.looks_outside, seconds=seconds)

    def _next(self, *, main: bool) -> str | None:
        """The next job for a lane, once there is one; None when nothing is left for it."""
        with self._moved:
            while True:
                if self._error is not None or not self._sorter.is_active():
                    return None
                self._ready += self._sorter.get_ready()
                self._ready.sort(key=self._rank.__getitem__)
                mine = [name for name in self._ready if main or not self._jobs[name].main_thread]
                if not mine:
                    self._moved.wait()
                    continue
                name = mine[0]
                self._ready.remove(name)
                if self._may_skip(name):
                    self._end(name, "skipped", changed=False)
                    continue
                return name

    def _may_skip(self, name: str) -> bool:
        job, before = self._jobs[name], self._graph[name]
        return name in self._done and not job.looks_outside and not before & self._changed

    def _end(self, name: str, state: str, *, changed: bool, seconds: float = 0.0) -> None:
        with self._moved:
            self._ended += 1
            if changed:
                self._changed.add(name)
            self._sorter.done(name)
            self._say(name, state, seconds=seconds)
            self._moved.notify_all()

    def _say(self, name: str, state: str, *, seconds: float = 0.0) -> None:
        with self._moved:
            number = self._ended + (state == "start")
            self._tell(Progress(name, state, number, len(self._jobs), seconds))

    def _stop(self, error: BaseException) -> None:
        with self._moved:
            self._error = self._error or error
            self._moved.notify_all()
