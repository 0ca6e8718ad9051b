"""A function that answers with what it understood of a push; loaded by functions-framework in test_push.py."""

from __future__ import annotations

import dataclasses

import flask
import functions_framework
import orjson

from lib.push import parse_push


@functions_framework.cloud_event
def tell(event: object) -> None:
    """Answer 200 with the message as JSON."""
    message = parse_push(event, flask.request.get_data())
    flask.abort(flask.Response(orjson.dumps(dataclasses.asdict(message), default=repr), status=200))
