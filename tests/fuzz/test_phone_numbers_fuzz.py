from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.fuzz.comparison import compare

#: Over all seeds; FUZZ_TEXTS=20000000 for a night, FUZZ_SEED for other texts.
TEXTS = int(os.environ.get("FUZZ_TEXTS", "1_000_000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
PROCESSES = 2


@pytest.mark.fuzz
@pytest.mark.timeout(0)
def test_each_text_is_read_as_the_library_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Not one difference in all regions; and a valid number, read again, stays what it is."""
    seeds = range(SEED, SEED + PROCESSES)
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(compare, seeds, [TEXTS // PROCESSES] * PROCESSES))
    with capsys.disabled():
        print(*outcomes, sep="\n")
    assert [difference for outcome in outcomes for difference in outcome.differences] == []
    assert [unstable for outcome in outcomes for unstable in outcome.unstable] == []
