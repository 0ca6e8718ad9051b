"""The table of faults: each says what it is and what to do, and is found by some check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lib.health_faults import FAULTS

LIB = Path(__file__).parents[1] / "lib"


@pytest.mark.parametrize("reason", sorted(FAULTS))
def test_each_fault_says_what_it_is_and_what_to_do(reason: str) -> None:
    fault = FAULTS[reason]
    assert fault.status in {"warning", "error", "unknown"}
    assert fault.message
    assert not fault.message.endswith(".")
    assert fault.action.endswith((".", ">."))


def test_each_fault_is_one_that_a_check_can_find() -> None:
    texts = {
        node.value
        for name in ("health_checks.py", "health_flow.py")
        for node in ast.walk(ast.parse((LIB / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(FAULTS) - texts == set()
