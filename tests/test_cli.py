"""The command for people: in this process by click's runner, and as a process of its own, beside the stand-ins."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from lib.cli import cli
from tests.functions import Functions, add
from tests.local.faults import Fault
from tests.local.stack import (
    ACCOUNT,
    APP_SECRET,
    DEAD_LETTER_TOPIC,
    DEAD_LETTERS,
    KEY,
    OTHER_TOKEN,
    ROOT,
    SUBSCRIPTION,
    TOKEN,
    TOPIC,
    Stack,
)

SECRETS: Final = (TOKEN, OTHER_TOKEN, APP_SECRET, KEY)

Run = Callable[..., Result]


@pytest.fixture
def deployed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The stand-ins with all that Terraform makes."""
    stack.pubsub.add_subscription(SUBSCRIPTION, TOPIC)
    stack.keep_dead_letters()
    for name, value in stack.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RELAY_CONFIG")
    yield stack
    assert stack.graph.violations == []


@pytest.fixture
def run(deployed: Stack) -> Run:
    """Run the command with the configuration as it now stands; nothing secret is shown, and no colour."""

    def run(*arguments: str, document: str | None = None) -> Result:
        config = json.dumps(deployed.config) if document is None else document
        result = CliRunner().invoke(cli, ["--config", config, *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert [word for word in SECRETS if word in result.output] == []
        assert "\x1b" not in result.output
        return result

    return run


def answer(result: Result) -> dict[str, Any]:
    """Return the one JSON object of stdout."""
    (line,) = result.stdout.splitlines()
    value: dict[str, Any] = json.loads(line)
    return value


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text(
        "email,phone,firstname,country\n"
        "ada@example.com,0170 1234567,Ada,DE\n"
        "not an address,,Grace,US\n"
        "alan@example.com,x,Alan,GB\n",
        encoding="utf-8",
    )
    return path


class TestDoctor:
    def test_all_well(self, run: Run) -> None:
        result = run("doctor")
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert lines[:2] == ["✓ configuration", "✓ secret: 4 well"]
        assert "✓ audience acme: 3 well" in lines
        assert lines[-1].endswith(" checks, 0 faults")

    def test_each_fault_with_what_to_do(self, run: Run, deployed: Stack) -> None:
        deployed.graph.set_operation_status("1001", 471)
        deployed.graph.refuse_terms(ACCOUNT)
        deployed.config["queue"]["dead_letter_topic"] = f"{TOPIC}-gone"
        result = run("doctor")
        assert result.exit_code == 1
        shown = result.stdout
        assert "✗ audience acme 1001: the audience is flagged, and takes no uploads\n    Appeal in" in shown
        assert f"✗ terms acme {ACCOUNT}: the Custom Audience terms are not accepted\n    Have a person" in shown
        assert f"✗ queue {TOPIC}-gone: it is not there\n    Apply Terraform" in shown

    def test_a_warning_alone_is_no_failure(self, run: Run, deployed: Stack) -> None:
        deployed.graph.set_operation_status("1001", 411)
        result = run("doctor")
        assert (result.exit_code, "! audience acme 1001: few of" in result.stdout) == (0, True)

    def test_as_json(self, run: Run, deployed: Stack) -> None:
        deployed.graph.expire(TOKEN)
        result = run("doctor", "--json")
        assert result.exit_code == 1
        found = answer(result)
        assert found["outcome"] == "faults"
        (fault,) = (one for one in found["findings"] if one["status"] != "ok")
        assert (fault["kind"], fault["connection"], fault["reason"]) == ("token", "acme", "token_invalid")
        assert fault["action"]

    def test_each_problem_of_the_configuration(self, run: Run) -> None:
        result = run("doctor", document='{"connections": {"acme": {}}, "surprise": 1}')
        assert result.exit_code == 3
        lines = result.stdout.splitlines()
        assert "✗ configuration: connections.acme.access_token is missing" in lines
        assert "✗ configuration: surprise is not known" in lines
        assert lines[-1] == "3 checks, 3 faults"

    def test_no_configuration_at_all(self) -> None:
        result = CliRunner(env={"RELAY_CONFIG": None}).invoke(cli, ["doctor", "--json"])
        assert result.exit_code == 3
        (finding,) = answer(result)["findings"]
        assert finding["action"] == "Give --config FILE, or set RELAY_CONFIG."

    def test_the_configuration_may_be_a_file(self, run: Run, deployed: Stack, tmp_path: Path) -> None:
        path = tmp_path / "relay.json"
        path.write_text(json.dumps(deployed.config), encoding="utf-8")
        assert run("doctor", document=str(path)).exit_code == 0


class TestAudiences:
    def test_status_and_size(self, run: Run, deployed: Stack) -> None:
        deployed.graph.set_operation_status("1002", 415)
        deployed.graph.health.changed["1001"] = 1_795_000_000
        result = run("audiences")
        assert result.exit_code == 0
        lines = [line.split("  ") for line in result.stdout.splitlines()]
        shown = {line[0].strip(): [part.strip() for part in line if part.strip()] for line in lines}
        assert shown["1001"][1:] == ["Audience 1001", "0", "normal", "2026-11-18T11:06:40+00:00"]
        assert shown["1002"][3] == "the last replacement of the audience has failed"
        assert result.stdout.endswith(f"3 audiences of act_{ACCOUNT}\n")

    def test_as_json(self, run: Run, deployed: Stack) -> None:
        deployed.graph.set_operation_status("2001", 412)
        listed = answer(run("audiences", "--connection", "globex", "--json"))
        assert listed["connection"] == "globex"
        (audience,) = listed["audiences"]
        assert (audience["id"], audience["operation_status"], audience["status"]) == ("2001", 412, "warning")
        assert audience["action"].startswith("See that hashes")

    def test_a_token_that_is_refused(self, run: Run, deployed: Stack) -> None:
        deployed.graph.expire(TOKEN)
        result = run("audiences", "--json")
        assert result.exit_code == 3
        assert answer(result)["error"]["type"] == "InvalidAccessTokenError"
        assert "✗ Meta error 190/463: the token has expired\n    The token has expired: make" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--connection", "initech"], "--connection must be one of: acme, globex"),
            (["--surprise"], "No such option"),
        ],
    )
    def test_wrong_usage(self, run: Run, arguments: list[str], message: str) -> None:
        result = run("audiences", *arguments)
        assert (result.exit_code, message in result.stderr) == (2, True)

    def test_a_connection_without_an_account(self, run: Run, deployed: Stack) -> None:
        del deployed.config["connections"]["globex"]["ad_account_id"]
        result = run("audiences", "--connection", "globex")
        assert (result.exit_code, "names no ad_account_id" in result.stderr) == (2, True)


class TestValidate:
    def test_who_can_be_sent_and_why_not(self, run: Run, deployed: Stack, people: Path) -> None:
        result = run("validate", str(people))
        assert result.exit_code == 1
        assert result.stdout.startswith("3 rows: 2 can be sent, 1 cannot\n")
        for reason in ("EMAIL: not an e-mail address", "PHONE: not a phone number", "not enough identifiers"):
            assert reason in result.stdout
        assert deployed.graph.calls == []
        assert "ada@example.com" not in result.output

    def test_as_json(self, run: Run, people: Path) -> None:
        assert answer(run("validate", str(people), "--json")) == {
            "rows": 3,
            "usable": 2,
            "rejected": 1,
            "identifiers": {"EMAIL": 2, "FN": 2, "COUNTRY": 2, "PHONE": 1},
            "reasons": {"EMAIL: not an e-mail address": 1, "PHONE: not a phone number": 1, "not enough identifiers": 1},
            "warnings": [],
        }

    def test_rejects_go_to_a_file(self, run: Run, people: Path, tmp_path: Path) -> None:
        path = tmp_path / "rejects.csv"
        run("validate", str(people), "--rejects", str(path))
        assert path.read_text(encoding="utf-8").splitlines() == [
            "row,field,reason",
            "1,EMAIL,not an e-mail address",
            "1,,not enough identifiers",
            "2,PHONE,not a phone number",
        ]

    @pytest.mark.parametrize(
        ("name", "write"),
        [
            ("people.ndjson", lambda text: text.encode()),
            ("people.jsonl.gz", lambda text: gzip.compress(text.encode())),
            ("people.json", lambda text: text.encode()),
        ],
    )
    def test_newline_delimited_json(self, run: Run, tmp_path: Path, name: str, write: Callable[[str], bytes]) -> None:
        path = tmp_path / name
        path.write_bytes(write('{"email": "a@example.com"}\n{"EMAIL": ["b@example.com", "c@example.com"]}\n'))
        result = run("validate", str(path), "--json")
        assert result.exit_code == 0
        assert answer(result)["identifiers"] == {"EMAIL": 3}

    def test_more_than_a_page_keeps_its_rows_numbers(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "many.csv"
        rows = [f"person{number}@example.com" for number in range(10_005)]
        rows[10_001] = "nobody"
        path.write_text("email\n" + "\n".join(rows), encoding="utf-8")
        rejects = tmp_path / "rejects.csv"
        assert answer(run("validate", str(path), "--json", "--rejects", str(rejects)))["usable"] == 10_004
        _, *rejected = rejects.read_text(encoding="utf-8").splitlines()
        assert {line.partition(",")[0] for line in rejected} == {"10001"}

    def test_a_table_of_bigquery(self, run: Run, deployed: Stack) -> None:
        deployed.bigquery.add_table("local.crm.vip", [{"name": "email", "type": "STRING"}])
        deployed.bigquery._tables["local.crm.vip"].rows += [{"email": "a@example.com"}, {"email": None}]
        result = run("validate", "bq://local.crm.vip", "--json")
        assert (result.exit_code, answer(result)["usable"]) == (1, 1)

    def test_a_table_that_is_not_there(self, run: Run) -> None:
        result = run("validate", "bq://local.crm.gone")
        assert (result.exit_code, "BigQuery refuses to read" in result.stderr) == (3, True)

    def test_without_a_configuration(self, people: Path) -> None:
        runner = CliRunner(env={"RELAY_CONFIG": None})
        shown = runner.invoke(cli, ["validate", str(people), "--country", "DE", "--json"])
        assert answer(shown)["usable"] == 2

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("gone.csv", "there is no such file"),
            ("people.xlsx", "does not tell its format Give --format."),
            ("bq://short", "must be named bq://project.dataset.table"),
        ],
    )
    def test_wrong_usage(self, run: Run, tmp_path: Path, name: str, message: str) -> None:
        (tmp_path / "people.xlsx").write_text("x", encoding="utf-8")
        result = run("validate", name if name.startswith("bq:") else str(tmp_path / name))
        assert (result.exit_code, message in " ".join(result.stderr.split())) == (2, True)

    def test_rejects_that_cannot_be_written_are_told(self, run: Run, people: Path, tmp_path: Path) -> None:
        result = run("validate", str(people), "--rejects", str(tmp_path / "gone" / "rejects.csv"))
        assert (result.exit_code, "No such file or directory" in result.stderr) == (3, True)

    def test_an_empty_file_could_not_be_read(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty.csv").write_text("", encoding="utf-8")
        assert run("validate", str(tmp_path / "empty.csv")).exit_code == 3


class TestSync:
    """`sync`: a file or table, to the audience of a segment."""

    @staticmethod
    def many(path: Path, count: int, **odd: str) -> Path:
        rows = [f"person{number}@example.com" for number in range(count)]
        for number, value in odd.items():
            rows[int(number.removeprefix("at_"))] = value
        path.write_text("email\n" + "\n".join(rows), encoding="utf-8")
        return path

    def test_all_members_of_a_file_are_members_of_the_audience(self, run: Run, deployed: Stack, tmp_path: Path) -> None:
        result = run("sync", str(self.many(tmp_path / "vip.csv", 20_005, at_20001="nobody")), "--segment", "VIP")
        assert result.exit_code == 1
        audience_id = deployed.graph.audiences()[-1]
        assert result.stdout.startswith(
            f"20,005 rows to audience {audience_id}: 20,004 delivered, 1 rejected\nwhat cannot be used"
        )
        assert deployed.graph._audiences[audience_id].properties["name"] == "CA_VIP"
        assert deployed.graph.counts()[audience_id] == 20_004
        rows = [row for row in deployed.rows() if row["caller"] == "command" and row["outcome"] == "delivered"]
        assert [(row["batch"], row["batches"], row["segment_id"]) for row in rows] == [
            (1, 3, "VIP"), (2, 3, "VIP"), (3, 3, "VIP"),
        ]  # fmt: skip

    def test_a_second_time_is_the_same_audience_and_no_harm(self, run: Run, deployed: Stack, tmp_path: Path) -> None:
        path = str(self.many(tmp_path / "vip.csv", 5))
        first = answer(run("sync", path, "--segment", "VIP", "--segment-id", "7", "--json"))
        second = answer(run("sync", path, "--segment", "Very important", "--segment-id", "7", "--json"))
        assert first["audience_id"] == second["audience_id"]
        assert deployed.graph.counts()[first["audience_id"]] == 5

    def test_as_json(self, run: Run, deployed: Stack, people: Path) -> None:
        result = run("sync", str(people), "--segment", "VIP", "--connection", "globex", "--json")
        assert result.exit_code == 1
        assert answer(result) == {
            "outcome": "partial",
            "audience_id": deployed.graph.audiences()[-1],
            "rows": 3,
            "delivered": 2,
            "failed": 0,
            "rejected": 1,
            "errors": [],
            "reasons": {"EMAIL: not an e-mail address": 1, "PHONE: not a phone number": 1, "not enough identifiers": 1},
            "warnings": [],
        }

    def test_a_table_of_bigquery(self, run: Run, deployed: Stack) -> None:
        deployed.bigquery.add_table("local.crm.vip", [{"name": "email", "type": "STRING"}])
        deployed.bigquery._tables["local.crm.vip"].rows += [{"email": f"{number}@example.com"} for number in range(7)]
        result = run("sync", "bq://local.crm.vip", "--segment", "VIP", "--json")
        assert (result.exit_code, answer(result)["delivered"]) == (0, 7)

    def test_a_dry_run_sends_nothing_and_makes_nothing(self, run: Run, deployed: Stack, people: Path) -> None:
        result = run("sync", str(people), "--segment", "VIP", "--dry-run")
        assert result.exit_code == 1
        assert result.stdout.startswith("3 rows to audience (a new one): 2 would be sent, 1 rejected\n")
        assert {call.method for call in deployed.graph.calls} == {"GET"}
        assert deployed.rows() == []

    def test_a_dry_run_names_the_audience_that_is_there(self, run: Run, deployed: Stack, tmp_path: Path) -> None:
        deployed.graph.add_audience("1777", account=ACCOUNT, name="CA_VIP")
        result = run("sync", str(self.many(tmp_path / "vip.csv", 3)), "--segment", "VIP", "--dry-run", "--json")
        assert (result.exit_code, answer(result)["audience_id"]) == (0, "1777")

    def test_rejects_go_to_a_file(self, run: Run, people: Path, tmp_path: Path) -> None:
        path = tmp_path / "rejects.csv"
        run("sync", str(people), "--segment", "VIP", "--rejects", str(path))
        assert "1,EMAIL,not an e-mail address" in path.read_text(encoding="utf-8").splitlines()

    def test_what_meta_refuses_midway_ends_it_with_how_far_it_is(
        self, run: Run, deployed: Stack, tmp_path: Path
    ) -> None:
        deployed.graph.faults.add(Fault.slow(0, match="/users"), Fault.error(100, 1713230, match="/users"))
        path = self.many(tmp_path / "vip.csv", 10_005, at_7="nobody")
        result = run("sync", str(path), "--segment", "VIP", "--json")
        assert result.exit_code == 1
        told = answer(result)
        assert (told["outcome"], told["delivered"], told["failed"], told["rejected"]) == ("failed", 9_999, 5, 1)
        assert told["reasons"] == {"EMAIL: not an e-mail address": 1, "not enough identifiers": 1}
        assert told["errors"][0]["code"] == 100
        assert "flagged" in told["errors"][0]["action"]

    def test_a_throttled_account_ends_it_and_nothing_is_queued(self, run: Run, deployed: Stack, tmp_path: Path) -> None:
        deployed.graph.faults.add(Fault.slow(0, match="/users"), Fault.error(80003, match="/users"))
        result = run("sync", str(self.many(tmp_path / "vip.csv", 10_005)), "--segment", "VIP")
        assert result.exit_code == 1
        assert "10,000 delivered, 5 failed" in result.stdout
        assert "too many calls for the account's audiences" in result.stdout
        assert deployed.pubsub.messages(TOPIC) == []

    def test_an_outage_of_a_moment_is_passed_over(self, run: Run, deployed: Stack, tmp_path: Path) -> None:
        deployed.graph.faults.add(Fault.empty(503, match="/users", times=2))
        assert run("sync", str(self.many(tmp_path / "vip.csv", 3)), "--segment", "VIP").exit_code == 0

    @pytest.mark.parametrize(
        ("arrange", "message"),
        [
            (lambda stack: stack.graph.expire(TOKEN), "the token has expired"),
            (lambda stack: stack.graph.refuse_terms(ACCOUNT), "the Custom Audience terms are not accepted"),
            (lambda stack: stack.config.pop("segments"), "segments are not configured"),
        ],
        ids=["token", "terms", "no segments"],
    )
    def test_what_cannot_begin_could_not_run(
        self, run: Run, deployed: Stack, people: Path, arrange: Callable[[Stack], None], message: str
    ) -> None:
        arrange(deployed)
        result = run("sync", str(people), "--segment", "VIP")
        assert (result.exit_code, message in result.stderr, result.stdout) == (3, True, "")

    def test_a_table_with_nobody_in_it_is_refused(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "vip.csv").write_text("email\n", encoding="utf-8")
        result = run("sync", str(tmp_path / "vip.csv"), "--segment", "VIP", "--json")
        assert (result.exit_code, answer(result)["outcome"]) == (1, "rejected")
        assert answer(result)["errors"][0]["message"] == "the source holds nobody"

    def test_wrong_usage(self, run: Run, people: Path) -> None:
        assert run("sync", str(people)).exit_code == 2
        assert run("sync", str(people), "--segment", "VIP", "--connection", "initech").exit_code == 2


class TestReplay:
    @staticmethod
    def bury(stack: Stack, **counts: int) -> None:
        for reason, count in counts.items():
            for number in range(count):
                stack.pubsub.publish(
                    DEAD_LETTER_TOPIC, f"{number}".encode(), attributes={"type": "audiences", "reason": reason}
                )

    def test_all(self, run: Run, deployed: Stack) -> None:
        self.bury(deployed, flagged=2, old=1)
        result = run("replay")
        assert result.exit_code == 0
        assert result.stdout.endswith("3 put back, 0 left\n")
        assert [message.attributes for message in deployed.pubsub.messages(TOPIC)] == [{"type": "audiences"}] * 3

    def test_a_delivery_that_was_given_up_ends_well_once_its_cause_is_mended(
        self, run: Run, deployed: Stack, functions: Functions
    ) -> None:
        deployed.graph.set_operation_status("1001", 471)
        functions.publish(add("1001"), type="audiences")
        functions.drain()
        assert (len(functions.dead()), deployed.graph.counts()["1001"]) == (1, 0)
        deployed.graph.set_operation_status("1001", 200)
        assert answer(run("replay", "--json"))["left"] == {}
        functions.drain()
        assert (len(functions.dead()), deployed.graph.counts()["1001"]) == (1, 1)
        assert deployed.pubsub.outstanding(DEAD_LETTERS) == 0

    def test_by_reason(self, run: Run, deployed: Stack) -> None:
        self.bury(deployed, flagged=2, old=1)
        result = run("replay", "--reason", "FLAG", "--json")
        assert answer(result) == {"dry_run": False, "put_back": {"flagged": 2}, "left": {"old": 1}}
        assert deployed.pubsub.outstanding(DEAD_LETTERS) == 1

    def test_a_dry_run_and_a_limit(self, run: Run, deployed: Stack) -> None:
        self.bury(deployed, flagged=2)
        result = run("replay", "--dry-run", "--limit", "1")
        assert result.stdout.endswith("1 would go back, 1 left\n")
        assert deployed.pubsub.messages(TOPIC) == []

    def test_without_a_subscription(self, run: Run, deployed: Stack) -> None:
        del deployed.config["queue"]["dead_letter_subscription"]
        assert run("replay").exit_code == 2
        assert run("replay", "--subscription", DEAD_LETTERS).exit_code == 0

    def test_without_a_queue(self, run: Run, deployed: Stack) -> None:
        del deployed.config["queue"]
        result = run("replay")
        assert (result.exit_code, "no queue is configured" in result.stderr) == (3, True)

    def test_a_subscription_that_is_not_there(self, run: Run) -> None:
        result = run("replay", "--subscription", f"{DEAD_LETTERS}-gone")
        assert (result.exit_code, "roles/pubsub.subscriber" in result.stderr) == (3, True)


class TestCommands:
    @pytest.mark.parametrize("name", sorted(cli.commands))
    def test_each_has_help_and_json(self, name: str) -> None:
        result = CliRunner().invoke(cli, [name, "--help"])
        assert (result.exit_code, "--json" in result.stdout) == (0, True)

    def test_version(self) -> None:
        assert CliRunner().invoke(cli, ["--version"]).stdout == "Meta Relay, version 1.0.0\n"


class TestProcess:
    """As people start it: `python -m lib.cli`."""

    @staticmethod
    def environ(stack: Stack, **more: str) -> Mapping[str, str]:
        return {**os.environ, **stack.environ(), "TERM": "xterm", "COLUMNS": "100", **more}

    def start(self, stack: Stack, *arguments: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "lib.cli", *arguments]
        environ = self.environ(stack)
        return subprocess.run(command, cwd=ROOT, env=environ, timeout=60, check=False, **streams)

    def test_stdout_is_what_was_asked_for(self, deployed: Stack) -> None:
        done = self.start(deployed, "audiences", "--json", capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(json.loads(done.stdout)["audiences"]) == 3

    def test_what_could_not_run(self, deployed: Stack) -> None:
        deployed.config["connections"]["acme"]["access_token"] = "env:NOT_SET"
        done = self.start(deployed, "audiences", capture_output=True)
        assert (done.returncode, done.stdout) == (3, b"")
        assert "✗ the environment has no NOT_SET" in done.stderr.decode()

    def test_an_interruption_has_its_own_code(self, deployed: Stack, tmp_path: Path) -> None:
        deployed.graph.faults.add(Fault.slow(30, match="/users"))
        path = TestSync.many(tmp_path / "vip.csv", 3)
        command = [sys.executable, "-m", "lib.cli", "sync", str(path), "--segment", "VIP"]
        environ = self.environ(deployed)
        # Tests that run in the background may be deaf to it, and what they start with them.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE) as process:
            signal.signal(signal.SIGINT, before)
            deadline = time.monotonic() + 30
            while deployed.graph.faults.pending() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert process.stdout is not None
            assert process.stdout.read() == b""

    def test_colours_are_for_terminals(self, deployed: Stack) -> None:
        deployed.graph.set_operation_status("1001", 471)
        ours, theirs = pty.openpty()
        done = self.start(deployed, "audiences", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:
            # The other end is closed.
            pass
        finally:
            os.close(ours)
        assert done.returncode == 0
        assert b"\x1b[31mthe audience is flagged" in shown
