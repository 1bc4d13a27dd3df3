"""Independent jobs over processes, with a bar: spawned, so that they run alike on every system."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed

from tqdm.auto import tqdm


def run_all(jobs: list[tuple], workers: int, progress: bool, what: str) -> None:
    """Run every job and show a bar; the first failure cancels what hasn't begun and is raised.

    Args:
        jobs: (function, *arguments) each; functions and arguments can be pickled.
        workers: processes; one runs the jobs here.
        progress: show the bar.
        what: its title.
    """
    if not jobs:
        return
    bar = tqdm(total=len(jobs), desc=what, disable=not progress, leave=False)
    if workers <= 1 or len(jobs) == 1:
        for function, *arguments in jobs:
            function(*arguments)
            bar.update()
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
            futures = [pool.submit(*job) for job in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    bar.close()
