"""The console log: one JSON object a line, in Cloud Logging's own format (design, section 11)."""

from __future__ import annotations

import io
import json
import logging
import math
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib.console_log import JSONFormatter, configure, trace_id

LOGGER: Final = logging.getLogger("lib.of_a_test")
REPORTED: Final = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    package = logging.getLogger("lib")
    before = (package.handlers[:], package.level, package.propagate)
    stream = io.StringIO()
    configure("DEBUG", stream, project="p")
    yield stream
    package.handlers[:], package.propagate = before[0], before[2]
    package.setLevel(before[1])


def record(message: str, *args: object, level: int = logging.INFO, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("lib.x", level, "/lib/x.py", 7, message, args, None, func="do")
    made.__dict__.update(more)
    return made


def line_of(made: logging.LogRecord, project: str | None = None) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(JSONFormatter(project).format(made))
    return line


def the_line(stream: io.StringIO) -> dict[str, Any]:
    """Return the only line, which is one however lines are told apart."""
    (text,) = stream.getvalue().splitlines()
    line: dict[str, Any] = json.loads(text)
    return line


class TestLine:
    @pytest.mark.parametrize(
        ("level", "severity"),
        [
            (logging.DEBUG, "DEBUG"),
            (logging.INFO, "INFO"),
            (logging.WARNING, "WARNING"),
            (logging.ERROR, "ERROR"),
            (logging.CRITICAL, "CRITICAL"),
        ],
    )
    def test_severity_message_and_time(self, stream: io.StringIO, level: int, severity: str) -> None:
        before = datetime.now(UTC)
        LOGGER.log(level, "%s %s", "audiences", "delivered")
        line = the_line(stream)
        assert (line["severity"], line["message"], line["logger"]) == (
            severity,
            "audiences delivered",
            "lib.of_a_test",
        )
        assert before <= datetime.fromisoformat(line["time"]) <= datetime.now(UTC)

    def test_the_trace_links_to_the_traces_of_the_project(self, stream: io.StringIO) -> None:
        token = trace_id.set("0af7651916cd43dd8448eb211c80319c")
        LOGGER.info("here")
        trace_id.reset(token)
        line = the_line(stream)
        assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
        assert line["logging.googleapis.com/trace"] == "projects/p/traces/0af7651916cd43dd8448eb211c80319c"

    def test_without_a_trace_or_a_project_there_is_no_link(self) -> None:
        assert line_of(record("here")).keys() == {"severity", "message", "time", "logger"}
        token = trace_id.set("t-1")
        line = line_of(record("here"))
        trace_id.reset(token)
        assert line.keys() == {"severity", "message", "time", "logger", "trace_id"}

    def test_each_thread_has_its_own_trace(self) -> None:
        token = trace_id.set("of this thread")
        found: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: found.append(line_of(record("there"))))
        thread.start()
        thread.join()
        trace_id.reset(token)
        assert "trace_id" not in found[0]

    def test_what_extra_may_carry(self, stream: io.StringIO) -> None:
        LOGGER.info("x", extra={"delivery": {"rows_sent": 5}, "error": {"code": 190}, "debug": [1], "password": "p"})
        line = the_line(stream)
        assert (line["delivery"], line["error"], line["debug"]) == ({"rows_sent": 5}, {"code": 190}, [1])
        assert "password" not in line

    def test_below_the_configured_level_nothing_is_written(self, stream: io.StringIO) -> None:
        configure("WARNING", stream)
        LOGGER.info("no")
        LOGGER.warning("yes")
        assert the_line(stream)["message"] == "yes"

    def test_it_is_configured_once_however_often(self, stream: io.StringIO) -> None:
        configure("INFO", stream)
        configure("INFO", stream)
        LOGGER.info("once")
        assert the_line(stream)["message"] == "once"

    def test_lines_of_many_threads_do_not_tear(self, stream: io.StringIO) -> None:
        def write(number: int) -> None:
            for _ in range(50):
                LOGGER.info("%s", str(number) * 200)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        messages = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
        assert sorted(messages) == sorted(str(number) * 200 for number in range(8) for _ in range(50))


HOSTILE: Final = [
    pytest.param("a\nb", id="line feed"),
    pytest.param("a\r\nb", id="carriage return"),
    pytest.param('a"}\n{"severity":"CRITICAL"', id="a line of its own"),
    pytest.param("a\x1b[31mb", id="ANSI"),
    pytest.param("a\x9b31mb", id="ANSI in eight bits"),
    pytest.param("a\x00b\x07\x08\x7f", id="control characters"),
    pytest.param("a\x0b\x0c\x1c\x1d\x1eb", id="other ends of lines"),
    pytest.param("a\x85b", id="next line"),
    pytest.param("a\u2028b", id="line separator"),
    pytest.param("a\u2029b", id="paragraph separator"),
    pytest.param("Jörg 😀", id="letters"),
    pytest.param("a\ud800b", id="lone surrogate"),
]


@pytest.mark.parametrize("text", HOSTILE)
class TestHostileText:
    def test_it_stays_one_line_and_whole(self, stream: io.StringIO, text: str) -> None:
        LOGGER.info("%s", text, extra={"debug": {text: [text]}})
        line = the_line(stream)
        assert (line["message"], line["debug"]) == (text, {text: [text]})

    def test_nothing_of_it_reaches_a_terminal(self, text: str) -> None:
        written = JSONFormatter().format(record("%s", text))
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", written)


@given(
    st.text(st.characters(), max_size=30), st.dictionaries(st.text(max_size=5), st.integers() | st.floats() | st.none())
)
@example("", {"": -(2**63) - 1, "0": math.inf})
def test_anything_is_one_line(text: str, extra: dict[str, Any]) -> None:
    written = JSONFormatter().format(record("%s", text, debug=extra))
    assert len(written.splitlines()) == 1
    assert orjson.loads(written)["message"] == text if text.isascii() else json.loads(written)["message"] == text


def test_what_is_no_json_is_written_as_text() -> None:
    line = line_of(record("x", debug={"path": io.StringIO, 5: 2**70}))
    assert line["debug"] == {"path": str(io.StringIO), "5": 2**70}


class TestErrors:
    """What Cloud Error Reporting groups by; never the message of a foreign error."""

    def test_an_exception_shows_its_frames_and_kind(self, stream: io.StringIO) -> None:
        def fail() -> None:
            raise ValueError("Canary7c1f@example.com")

        try:
            try:
                fail()
            except ValueError as error:
                raise RuntimeError("Canary7c1f again") from error
        except RuntimeError:
            LOGGER.exception("a fault of ours")
        line = the_line(stream)
        assert (line["severity"], line["@type"], line["message"]) == ("ERROR", REPORTED, "a fault of ours")
        first, *frames, last = line["stack_trace"].splitlines()
        assert (first, last) == ("Traceback (most recent call last):", "RuntimeError")
        assert re.fullmatch(r'  File "[^"]+/test_console_log.py", line \d+, in test_an_exception_\w+', frames[-1])
        assert "Canary7c1f" not in stream.getvalue()

    def test_an_error_without_one_shows_its_place(self) -> None:
        line = line_of(record("InvalidAccessTokenError: renew it", level=logging.ERROR))
        assert line["@type"] == REPORTED
        assert line["context"] == {"reportLocation": {"filePath": "/lib/x.py", "lineNumber": 7, "functionName": "do"}}

    @pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING])
    def test_what_is_no_error_is_not_reported(self, level: int) -> None:
        assert "@type" not in line_of(record("x", level=level))

    def test_exc_info_outside_of_an_exception_is_none(self) -> None:
        assert "@type" not in line_of(record("x", level=logging.WARNING, exc_info=(None, None, None)))
