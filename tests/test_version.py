"""`lib.version`: what each row of the delivery log names as its maker."""

import re

from lib.version import RELAY_VERSION
from tests.seams import Kept, Log, Meta, post, relay


def test_it_is_three_numbers() -> None:
    """Semantic Versioning, https://semver.org."""
    assert re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", RELAY_VERSION)


def test_each_row_of_the_log_names_it() -> None:
    log = Log()
    body = {"action": "remove", "destinations": [{"audience_id": "1"}], "user": {"EMAIL": "ada@example.com"}}
    assert post(relay(transport=Meta(), queue=Kept(), log=log), body).status == 200
    assert [row["relay_version"] for row in log.rows] == [RELAY_VERSION]
