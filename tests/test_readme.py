"""The README says what is: its examples run, and its tables are those of the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus

import functions_framework
import pytest
from flask.testing import FlaskClient

from lib.config import parse_config
from lib.identifiers import AUDIENCE_KEYS
from tests.local.run import SCENES
from tests.local.stack import KEY, ROOT, Stack
from tests.tools.build_readme import TABLES, with_tables

README = (ROOT / "README.md").read_text()
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", README, re.DOTALL)]
#: Parts of the configuration, of which one is whole.
DOCUMENTS = [example for example in EXAMPLES if {"connections", "identity", "sources"} & example.keys()]
REQUESTS = [example for example in EXAMPLES if example not in DOCUMENTS]


@pytest.fixture(name="stack")
def _stack() -> Iterator[Stack]:
    with Stack() as stack:
        yield stack


@pytest.fixture(name="receive")
def _receive(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    for name, value in stack.environ().items():
        monkeypatch.setenv(name, value)
    client: FlaskClient = functions_framework.create_app("receive", str(ROOT / "main.py")).test_client()
    return client


def section(title: str) -> str:
    """Return the README's section *title*."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def first_cells(text: str) -> set[str]:
    """Return what stands in backquotes in the first column of the tables in *text*."""
    return {
        word
        for line in text.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`([^`]+)`", line.split("|")[1])
    }


@pytest.mark.parametrize("body", REQUESTS, ids="-".join)
def test_each_request_is_delivered_as_it_stands(body: dict[str, object], receive: FlaskClient, stack: Stack) -> None:
    path = "/audiences" if "action" in body else "/segments" if "segment" in body else "/events"
    answer = receive.post(path, json=body, headers={"Authorization": f"Bearer {KEY}"})
    expected = (HTTPStatus.ACCEPTED, "queued") if path == "/segments" else (HTTPStatus.OK, "delivered")
    assert expected == (answer.status_code, answer.get_json()["outcome"])
    assert [] == stack.graph.violations
    assert [] == answer.get_json()["rejected"]


def test_there_is_an_example_of_each_form() -> None:
    assert {"user", "users", "user_from_event"} <= {key for body in REQUESTS for key in body}


def test_each_part_of_the_configuration_goes_with_the_whole() -> None:
    (whole,) = (document for document in DOCUMENTS if "connections" in document)
    for part in DOCUMENTS:
        assert set(whole["connections"]) == set(parse_config(json.dumps({**whole, **part})).connections)


def test_the_table_of_identifiers_is_that_of_the_code() -> None:
    assert set(AUDIENCE_KEYS) == first_cells(section("Identifiers"))


def test_the_keys_of_an_answer_are_named(receive: FlaskClient) -> None:
    answer = receive.post("/audiences", json=REQUESTS[0], headers={"Authorization": f"Bearer {KEY}"}).get_json()
    named = set(re.findall(r"`([a-z_]+)`", section("Requests")))
    assert {*answer, *answer["results"][0]} - {"destination"} <= named


def test_the_printed_scenes_are_those_that_run() -> None:
    shown = " ".join(line[:34].strip() for line in section("Try it").splitlines())
    numbers = re.findall(r"(\d+)\. ", shown)
    assert numbers
    for number in numbers:
        assert f"{number}. {SCENES[int(number) - 1].title}" in shown


def test_the_generated_tables_are_current() -> None:
    """`make readme` writes them anew."""
    assert with_tables(README) == README
    assert [f"<!-- generated: {name} -->" for name in TABLES] == re.findall(r"<!-- generated: .* -->", README)


def test_a_reader_is_through_in_250_lines() -> None:
    assert len(README.splitlines()) <= 250
