"""The two functions of Meta Relay: HTTP requests and Pub/Sub messages become calls to Meta. Wiring only."""

from __future__ import annotations

import flask
import functions_framework

from lib import bootstrap

_relay = bootstrap.start()


@functions_framework.http
def receive(request: flask.Request) -> flask.Response:
    """Take a request of server-side Google Tag Manager or any HTTP caller."""
    from lib.handlers import HTTPRequest  # noqa: PLC0415 - loaded with the relay

    answer = _relay().receive(
        HTTPRequest(
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            # Not kept by the request: a body of 30 MB is parsed once and let go.
            read_body=lambda: request.get_data(cache=False),
        )
    )
    return flask.Response(answer.body, status=answer.status, headers=dict(answer.headers))


@functions_framework.cloud_event
def deliver(event: object) -> None:
    """Take a Pub/Sub message; an answer other than 2xx has it delivered again."""
    from lib.push import parse_push  # noqa: PLC0415 - loaded with the relay

    # functions-framework drops the delivery attempt of a push body, so the body is read from the request.
    if not _relay().deliver(parse_push(event, flask.request.get_data())):
        flask.abort(503)
