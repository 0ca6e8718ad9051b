"""
The errors of the relay: whose fault, which HTTP status, and whether trying again can help.

RelayError
  InvalidRequestError            400  the caller's body is not understood
  NobodyToSendError              422  understood, but nobody in it can be sent
  RefusedReplaceError            422  understood, but it would empty or shrink an audience, or Meta's rules forbid it
  UnauthorizedError              401  no current key of any caller
  ForbiddenError                 403  a connection, action or lowered consent that this caller may not have
  ConfigurationError             500  the operator's: a secret, a permission, a setting
    SecretUnavailableError       503  Secret Manager does not answer
    SourceUnavailableError       503  BigQuery or Cloud Storage does not answer
  GraphAPIError                  502  Meta refused, for good
    InvalidAccessTokenError      502  ... until a person renews the token
    MissingPermissionError       502  ... until a person grants or accepts something
    RateLimitError               503  ... until *retry_after* seconds have passed
    TransientGraphAPIError       503  ... this time
  GraphAPIUnreachableError       503  no answer from Meta
  AudienceDeletedError           502  a segment's audience is gone, until a person decides
  QueueError                     503  Pub/Sub did not take a message
  IdentityError                  503  nobody says who somebody is; events go without, an erasure is repeated
    IdentityUnreachableError     503  ... for want of an answer in time
    IdentityRefusedError         502  ... until a person renews the token or mends the request
    IdentityAnswerError          503  ... since the answer says nothing that can be used
    IdentityMismatchError        503  ... since it is about somebody else

A message names fields of the contract, never a value from a request: it may be read in a log or by the caller.
"""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import ClassVar


class Retry(Enum):
    """When the same work can succeed."""

    NEVER = "never"
    #: Once a person has acted; until then each attempt fails the same way.
    ONCE_A_PERSON_ACTS = "once a person acts"
    LATER = "later"


class RelayError(Exception):
    """
    The base of all errors that the relay raises on purpose.

    Args:
        message: One sentence for people, free of values.
        field: The part of the request that is meant, in the contract's names (`destinations[0].audience_id`).
        process: What was being done: `parse`, `authenticate`, `gate`, `identify`, `build`, `send`, `queue`, `log`.
        scope: Where: `Meta Relay`, `Graph API`, `Pub/Sub`, `BigQuery`, `Secret Manager`, `Identity graph`, `Firestore`,
            `Omni Identity`.
        action: What the operator has to do, in one sentence; None where nothing is to be done.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    retry: ClassVar[Retry] = Retry.NEVER
    default_process: ClassVar[str] = "parse"
    default_scope: ClassVar[str] = "Meta Relay"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        process: str | None = None,
        scope: str | None = None,
        action: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.process = process or self.default_process
        self.scope = scope or self.default_scope
        self.action = action

    def facts(self) -> dict[str, object]:
        """Return what the one shape of errors (design section 6) says of this error, without time and trace."""
        facts: dict[str, object] = {
            "type": type(self).__name__,
            "process": self.process,
            "scope": self.scope,
            "message": self.message,
        }
        if self.field is not None:
            facts["field"] = self.field
        if self.action is not None:
            facts["action"] = self.action
        return facts


class InvalidRequestError(RelayError):
    """The request cannot be understood; *field* says where."""

    status = HTTPStatus.BAD_REQUEST


class NobodyToSendError(RelayError):
    """The request was understood, but no row of it can be sent."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    default_process = "build"


class RefusedReplaceError(RelayError):
    """The list would take too many people out of the audience, or the audience cannot be replaced."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    default_process = "build"


class UnauthorizedError(RelayError):
    """No current key of any caller; the answer says no more."""

    status = HTTPStatus.UNAUTHORIZED
    default_process = "authenticate"


class ForbiddenError(RelayError):
    """The caller is known, and may not do this."""

    status = HTTPStatus.FORBIDDEN
    default_process = "authenticate"


class ConfigurationError(RelayError):
    """Something that the operator has set up is missing or refused: a secret, a topic, a setting."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    retry = Retry.ONCE_A_PERSON_ACTS


class SecretUnavailableError(ConfigurationError):
    """Secret Manager does not answer, and no older value is known."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry = Retry.LATER
    default_process = "authenticate"
    default_scope = "Secret Manager"


class SourceUnavailableError(ConfigurationError):
    """BigQuery or Cloud Storage does not answer, or not now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry = Retry.LATER
    default_process = "read"


class QueueError(RelayError):
    """Pub/Sub did not take a message. Whether it holds it is unknown; a second one does no harm."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry = Retry.LATER
    default_process = "queue"
    default_scope = "Pub/Sub"


class AudienceDeletedError(RelayError):
    """The audience of a segment is gone, and a person wants to be told."""

    status = HTTPStatus.BAD_GATEWAY
    retry = Retry.ONCE_A_PERSON_ACTS
    default_process = "send"


class IdentityError(RelayError):
    """Who somebody is cannot be said now. It stops no event: that goes with what it says itself."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry = Retry.LATER
    default_process = "identify"
    default_scope = "Identity"


class IdentityUnreachableError(IdentityError):
    """No answer in time, or one that says so."""


class IdentityRefusedError(IdentityError):
    """The service does not take the token or the request."""

    status = HTTPStatus.BAD_GATEWAY
    retry = Retry.ONCE_A_PERSON_ACTS


class IdentityAnswerError(IdentityError):
    """The answer is not one of the protocol."""


class IdentityMismatchError(IdentityError):
    """The answer is about somebody else than the event."""


class GraphAPIUnreachableError(RelayError):
    """No answer from Meta: connection refused, timed out, or cut off. Whether Meta has acted is unknown."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry = Retry.LATER
    default_process = "send"
    default_scope = "Graph API"


class GraphAPIError(RelayError):
    """
    Meta answered with an error.

    Args:
        code: Meta's `code`, None where the answer held no error object.
        error_subcode: Meta's `error_subcode`.
        is_transient: Meta's own word on whether a retry can help.
        fbtrace_id: Meta's id of the call, for its support.
        http_status: The status of the answer.
        smaller: Whether the same rows may pass in smaller requests ("reduce the amount of data").
    """

    status = HTTPStatus.BAD_GATEWAY
    default_process = "send"
    default_scope = "Graph API"

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        error_subcode: int | None = None,
        is_transient: bool | None = None,
        fbtrace_id: str | None = None,
        http_status: int | None = None,
        action: str | None = None,
        smaller: bool = False,
    ) -> None:
        super().__init__(message, action=action)
        self.code = code
        self.error_subcode = error_subcode
        self.is_transient = is_transient
        self.fbtrace_id = fbtrace_id
        self.http_status = http_status
        self.smaller = smaller

    def facts(self) -> dict[str, object]:
        """Return the common facts and those that Meta states."""
        return super().facts() | {
            "code": self.code,
            "error_subcode": self.error_subcode,
            "is_transient": self.is_transient,
            "fbtrace_id": self.fbtrace_id,
        }


class InvalidAccessTokenError(GraphAPIError):
    """The token is expired, revoked or malformed."""

    retry = Retry.ONCE_A_PERSON_ACTS


class MissingPermissionError(GraphAPIError):
    """A permission, an asset's assignment or the acceptance of terms is missing."""

    retry = Retry.ONCE_A_PERSON_ACTS


class RateLimitError(GraphAPIError):
    """Too many calls for this app or ad account; *retry_after* is in seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry = Retry.LATER
    #: Seconds until Meta takes calls again.
    retry_after: float = 60.0


class TransientGraphAPIError(GraphAPIError):
    """Meta could not do it this time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry = Retry.LATER
