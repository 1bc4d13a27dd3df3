"""Parts of a batch side by side, on threads that each give torch one thread.

Compiled loops and torch's operations let go of Python's lock, so threads of Python share a machine's cores. A product
that torch spreads over its own threads would keep them waiting for the next one, on the cores that a loop needs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

P, T = TypeVar("P"), TypeVar("T")
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_lock = threading.Lock()


def parts_of(count: int, *, least: int = 1) -> list[slice]:
    """As many parts of range(count) as torch has threads here, of at least `least` items; of few items one."""
    parts = max(1, min(torch.get_num_threads(), count // least))
    borders = [count * k // parts for k in range(parts + 1)]
    return [slice(a, b) for a, b in zip(borders[:-1], borders[1:], strict=True)]


def side_by_side(work: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """What `work` gives of each part, in order, without gradients; one part is worked on by the calling thread."""
    if len(parts) == 1:
        with torch.no_grad():
            return [work(parts[0])]
    inference = torch.is_inference_mode_enabled()

    def part(given: P) -> T:
        with torch.inference_mode(inference), torch.no_grad():
            return work(given)

    with _lock:  # parts that wait for each other must all have a thread
        return list(_pool(len(parts)).map(part, parts))


class Meeting:
    """Where the parts of a batch tell each other what they found; each has to say as much as the others."""

    def __init__(self, count: int):
        self._said: list = [None] * count
        self._barrier = threading.Barrier(count)

    def told(self, number: int, value: T) -> list[T]:
        """What all parts say here, in order of their numbers."""
        self._said[number] = value
        self._barrier.wait()
        said = list(self._said)
        self._barrier.wait()
        return said

    @contextmanager
    def attended(self) -> Iterator[None]:
        """A part that fails here doesn't leave the others waiting: they fail too."""
        try:
            yield
        except BaseException:
            self._barrier.abort()
            raise


@dataclass(frozen=True)
class Seat:
    """A part's place in a meeting; without one it is the whole batch."""

    number: int = 0
    meeting: Meeting | None = None

    def told(self, value: T) -> list[T]:
        """What all parts say."""
        return [value] if self.meeting is None else self.meeting.told(self.number, value)


ALONE = Seat()


def _pool(count: int) -> ThreadPoolExecutor:
    key = os.getpid(), count  # threads don't survive a fork
    if key not in _pools:
        threads, all_here = torch.get_num_threads(), threading.Barrier(count + 1)
        pool = _pools[key] = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
        for _ in range(count):
            pool.submit(all_here.wait)
        all_here.wait()
        torch.set_num_threads(threads)  # which also says what threads that aren't ours start with
    return _pools[key]
