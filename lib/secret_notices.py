"""
What Secret Manager publishes when a secret changes, or is due for a new version.

A notice reaches one instance, which then reads the secret again; the others do so once their time to live is over, and
at once when Meta refuses a token.

-- https://cloud.google.com/secret-manager/docs/event-notifications
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

logger = logging.getLogger(__name__)

_EVENT: Final = "eventType"
_CHANGES: Final = frozenset(
    {
        "SECRET_DELETE",
        "SECRET_VERSION_ADD",
        "SECRET_VERSION_ENABLE",
        "SECRET_VERSION_DISABLE",
        "SECRET_VERSION_DESTROY",
    }
)
_DUE: Final = "SECRET_ROTATE"


def is_notice(attributes: Mapping[str, str]) -> bool:
    """Tell whether a message is one of Secret Manager's."""
    return attributes.get(_EVENT, "").startswith("SECRET_") and "secretId" in attributes


def heed(attributes: Mapping[str, str], renew: Callable[[str], None]) -> None:
    """Do what a notice says: *renew* the secret with an id, or tell people that it is due."""
    event, ident = attributes[_EVENT], attributes["secretId"].rpartition("/")[2]
    told = {"secret": {"id": ident, "event": event}}
    if event in _CHANGES:
        renew(ident)
        logger.info("the secret %s has changed, and is read again", ident, extra=told)
    elif event == _DUE:
        logger.warning("the secret %s is due for a new version", ident, extra=told)
