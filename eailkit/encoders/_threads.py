"""Parts of a batch side by side, on threads that each give torch one thread.

Compiled loops and torch's operations let go of Python's lock, so threads of Python share a machine's cores. A product
that torch spreads over its own threads would keep them waiting for the next one, on the cores that a loop needs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_lock = threading.Lock()


def side_by_side(work: Callable[[int, int], T], count: int, *, least: int = 1) -> list[T]:
    """What `work(start, stop)` gives of the parts of range(count), in order, without gradients.

    As many parts as torch has threads where this is called; one, on the calling thread, where it has one.

    Args:
        least: items of a part; below, waking a thread takes longer than the work.
    """
    parts = min(torch.get_num_threads(), count // least)
    if parts < 2:
        with torch.no_grad():
            return [work(0, count)]
    borders, inference = [count * k // parts for k in range(parts + 1)], torch.is_inference_mode_enabled()

    def part(start: int, stop: int) -> T:
        with torch.inference_mode(inference), torch.no_grad():
            return work(start, stop)

    return list(_pool(parts).map(part, borders[:-1], borders[1:]))


def _pool(count: int) -> ThreadPoolExecutor:
    key = os.getpid(), count  # threads don't survive a fork
    with _lock:
        if key not in _pools:
            threads, all_here = torch.get_num_threads(), threading.Barrier(count + 1)
            pool = _pools[key] = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
            for _ in range(count):
                pool.submit(all_here.wait)
            all_here.wait()
            torch.set_num_threads(threads)  # which also says what threads that aren't ours start with
        return _pools[key]
