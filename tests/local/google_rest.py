"""Google's REST errors (cloud.google.com/apis/design/errors, "HTTP mapping"), as its clients expect them."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from tests.local.faults import Fault
from tests.local.http_server import Reply

_NAMES: Final[Mapping[int, tuple[str, str]]] = {  # status -> gRPC name, reason of the older APIs
    400: ("INVALID_ARGUMENT", "invalid"),
    401: ("UNAUTHENTICATED", "authError"),
    403: ("PERMISSION_DENIED", "accessDenied"),
    404: ("NOT_FOUND", "notFound"),
    409: ("ALREADY_EXISTS", "duplicate"),
    429: ("RESOURCE_EXHAUSTED", "rateLimitExceeded"),
    500: ("INTERNAL", "internalError"),
    501: ("UNIMPLEMENTED", "notImplemented"),
    503: ("UNAVAILABLE", "backendError"),
    504: ("DEADLINE_EXCEEDED", "backendError"),
}


class GoogleError(Exception):
    """A call that is refused with an HTTP status."""

    def __init__(self, status: int, message: str, *, name: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.name = name

    def reply(self) -> Reply:
        """Return the answer."""
        return Reply(self.status, orjson.dumps(error_body(self.status, str(self), self.name)))


def error_body(status: int, message: str, name: str = "") -> dict[str, Any]:
    """Return Google's error JSON, with the `errors` of the older APIs beside the status of the newer."""
    default, reason = _NAMES.get(status, ("UNKNOWN", "unknown"))
    errors = [{"message": message, "domain": "global", "reason": reason}]
    return {"error": {"code": status, "message": message, "errors": errors, "status": name or default}}


def google_fault(status: int, *, times: int, delay_s: float, match: str) -> Fault:
    """Return a fault that answers with Google's error JSON."""
    body = error_body(status, "A failure that a test ordered")
    return Fault(status=status, body=body, times=times, delay_s=delay_s, match=match)
