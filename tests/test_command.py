"""What the command does, apart from how it is asked for and shown (which test_cli.py holds)."""

from __future__ import annotations

import pytest

from lib.command import Session, Synced, problems_of
from lib.config import parse_config
from lib.errors import ConfigurationError, RelayError
from lib.report import Report
from lib.uploading import Progress


class TestConfiguration:
    def test_each_problem_is_a_finding(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            parse_config('{"connections": {"a": {}}, "surprise": 1}')
        findings = problems_of(caught.value)
        assert [finding.message for finding in findings] == [
            "connections.a.access_token is missing",
            'callers is missing; give each caller its keys, or "iam"',
            "surprise is not known",
        ]  # fmt: skip
        assert {(finding.kind, finding.status) for finding in findings} == {("configuration", "error")}

    def test_an_error_without_a_list_is_one_problem(self) -> None:
        (finding,) = problems_of(ConfigurationError("the file cannot be read", action="Look."))
        assert (finding.message, finding.action) == ("the file cannot be read", "Look.")

    def test_without_a_document_there_is_no_relay(self) -> None:
        with pytest.raises(ConfigurationError, match="there is no configuration"):
            _ = Session(None, {}).relay

    @pytest.mark.parametrize(("country", "wanted"), [("DE", "de"), (None, None)])
    def test_a_bare_relay_knows_a_country_at_most(self, country: str | None, wanted: str | None) -> None:
        (connection,) = Session(None, {}).relay_or_bare(country).config.connections.values()
        assert connection.default_country == wanted

    def test_a_document_counts_more_than_the_environment(self) -> None:
        document = '{"connections": {"a": {"access_token": "env:A"}}, "callers": {}}'
        session = Session(document, {"RELAY_CONFIG": "/nowhere"})
        assert list(session.relay.config.connections) == ["a"]
        assert session.relay_or_bare("DE") is session.relay

    def test_nothing_of_the_environment_is_shown(self) -> None:
        assert "secret" not in repr(Session(None, {"TOKEN": "secret"}))


class TestSynced:
    PROGRESS = Progress(total=10, delivered=6, failed=1, rejected=2, audience_id="7")

    def test_what_is_neither_delivered_nor_rejected_has_failed(self) -> None:
        done = Synced.of(self.PROGRESS, "failed", [RelayError("no")], Report())
        assert (done.delivered, done.rejected, done.failed, done.is_whole) == (6, 2, 2, False)
        assert done.facts()["errors"] == [RelayError("no").facts()]

    @pytest.mark.parametrize(
        ("outcome", "rejected", "whole"),
        [("delivered", 0, True), ("dry_run", 0, True), ("partial", 0, False), ("delivered", 1, False)],
    )
    def test_it_is_whole_where_nobody_was_refused(self, outcome: str, rejected: int, whole: bool) -> None:
        assert Synced(outcome=outcome, audience_id=None, rows=5, rejected=rejected).is_whole is whole

    def test_only_a_dry_run_says_who_would_be_sent(self) -> None:
        assert "would_be_sent" not in Synced.of(self.PROGRESS, "partial", [], Report()).facts()
        assert Synced(outcome="dry_run", audience_id=None, rows=5, would_be_sent=0).facts()["would_be_sent"] == 0
