"""The package's log records, caught where they arise: the console log does not hand them on to pytest's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Keeper(logging.Handler):
    def __init__(self, kept: list[logging.LogRecord]) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record)


@contextmanager
def log_records(name: str = "lib", level: int | None = logging.DEBUG) -> Iterator[list[logging.LogRecord]]:
    """Give a list that grows by each record of the package *name* from *level* on; None leaves its own level."""
    package = logging.getLogger(name)
    kept: list[logging.LogRecord] = []
    keeper, own_level = _Keeper(kept), package.level
    package.addHandler(keeper)
    package.setLevel(own_level if level is None else level)
    try:
        yield kept
    finally:
        package.removeHandler(keeper)
        package.setLevel(own_level)
