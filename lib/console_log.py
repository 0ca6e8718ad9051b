"""
The console log: one JSON object a line, in Cloud Logging's own format.

-- https://cloud.google.com/logging/docs/structured-logging
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import orjson

#: The trace id of the request that this thread works on.
trace_id: ContextVar[str] = ContextVar("trace_id", default="")

#: What `extra=` may carry: values of ours, made for the log.
_EXTRA = ("delivery", "error", "debug", "health", "secret")


class JSONFormatter(logging.Formatter):
    """
    Formats a record as one line.

    Args:
        project: Google Cloud project, for the link between lines and traces; None leaves the link out.
    """

    def __init__(self, project: str | None = None) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line feed."""
        line: dict[str, object] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "logger": record.name,
        }
        if trace := trace_id.get():
            line["trace_id"] = trace
            if self._project:
                line["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace}"
        line |= {key: record.__dict__[key] for key in _EXTRA if key in record.__dict__}
        failure = record.exc_info[1] if record.exc_info else None
        if failure or record.levelno >= logging.ERROR:
            line |= _reported_error(record, failure)
        return _LINE_BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", _dumps(line))


#: What JSON lets stand and a terminal or a viewer may take for the end of a line, or for a command.
_LINE_BREAKS = re.compile("[\x7f-\x9f\u2028\u2029]")


def _dumps(line: Mapping[str, object]) -> str:
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A lone surrogate, or a number beyond 64 bits: a line that is odd is better than none.
        text = json.dumps(line, default=str, skipkeys=True)
        # What is no number, as above: JSON has no infinity.
        return json.dumps(json.loads(text, parse_constant=lambda _name: None))


_REPORTED_ERROR = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"


def _reported_error(record: logging.LogRecord, error: BaseException | None) -> dict[str, object]:
    """
    Return what Cloud Error Reporting groups by: the frames, or else the place and the message's first words.

    The frames only: the message of a foreign error may hold a value.
    -- https://cloud.google.com/error-reporting/docs/grouping-errors
    """
    if error is not None:
        return {"@type": _REPORTED_ERROR, "stack_trace": _frames(error)}
    place = {"filePath": record.pathname, "lineNumber": record.lineno, "functionName": record.funcName}
    return {"@type": _REPORTED_ERROR, "context": {"reportLocation": place}}


def _frames(error: BaseException) -> str:
    lines = ["Traceback (most recent call last):"]
    traceback = error.__traceback__
    while traceback:
        code = traceback.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {traceback.tb_lineno}, in {code.co_name}')
        traceback = traceback.tb_next
    return "\n".join([*lines, type(error).__name__])


def configure(level: str, stream: TextIO, *, project: str | None = None) -> None:
    """Send the package's records of *level* and above to *stream*."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter(project))
    package = logging.getLogger("lib")
    package.handlers[:] = [handler]
    package.setLevel(level)
    package.propagate = False
    # Rows of the two logs are no talk: without a table they are all that tells what became of a request or a check.
    for name in ("lib.delivery_log", "lib.health_log"):
        logging.getLogger(name).setLevel(min(package.level, logging.INFO))
