"""The tree of errors says for each error whose fault it is, with a status and whether trying again can help."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lib import errors
from lib.errors import GraphAPIError, RelayError, Retry


def tree(kind: type[RelayError]) -> Iterator[type[RelayError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


ALL = list(tree(RelayError))


@pytest.mark.parametrize("kind", ALL[1:], ids=lambda kind: kind.__name__)
def test_the_drawn_tree_names_each_with_its_status(kind: type[RelayError]) -> None:
    (line,) = (line.split() for line in (errors.__doc__ or "").splitlines() if line.split()[:1] == [kind.__name__])
    assert int(kind.status) == int(line[1])


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_what_can_succeed_later_is_answered_with_503(kind: type[RelayError]) -> None:
    assert (kind.status == 503) == (kind.retry is Retry.LATER)


def test_the_facts_are_those_of_the_contract() -> None:
    error = RelayError("no such thing", field="destinations[0]", process="parse", action="Name another.")
    assert {
        "type": "RelayError",
        "process": "parse",
        "scope": "Meta Relay",
        "message": "no such thing",
        "field": "destinations[0]",
        "action": "Name another.",
    } == error.facts()


def test_what_is_not_known_is_left_out() -> None:
    assert {"type", "process", "scope", "message"} == set(RelayError("no such thing").facts())


def test_metas_facts_stand_with_its_errors() -> None:
    error = GraphAPIError("refused", code=100, error_subcode=33, is_transient=False, fbtrace_id="A1", http_status=400)
    facts = error.facts()
    assert (100, 33, False, "A1") == tuple(
        facts[key] for key in ("code", "error_subcode", "is_transient", "fbtrace_id")
    )
