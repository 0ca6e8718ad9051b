"""
Puts the relay together: the only reader of the environment.

Clients are made on first use, never at import, since the server forks.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from lib import console_log
from lib.config import Config, parse_config
from lib.delivery_log import BigQueryDeliveryLog, ConsoleDeliveryLog, DeliveryLog
from lib.errors import ConfigurationError
from lib.graph_api import GraphAPI
from lib.handlers import Relay
from lib.ports import Chance, Clock, Reply, SideBySide
from lib.queue import PubSubQueue
from lib.secret_manager import SecretManager
from lib.sending import Outside

logger = logging.getLogger(__name__)

#: Calls of one request that are under way at once.
_SIDE_BY_SIDE: Final = 16


def start() -> Relay:
    """Return the relay that the environment describes; without a sound description the process ends with status 1."""
    try:
        return build(os.environ)
    except ConfigurationError as error:
        # Not through the log's level: whoever deploys this must see it.
        console_log.configure("ERROR", sys.stderr)
        logger.critical("%s", error.message)
        sys.exit(1)


def build(environ: Mapping[str, str]) -> Relay:
    """
    Put the relay together; nothing is called yet.

    Raises:
        ConfigurationError: RELAY_CONFIG is missing, cannot be read or has problems.
    """
    config = parse_config(_document(environ))
    project = environ.get("GOOGLE_CLOUD_PROJECT")
    console_log.configure(config.log_level, sys.stderr, project=project)
    clock, chance = Clock(), Chance()
    secrets = SecretManager(cache(lambda: _secret_manager_client(environ)), environ, clock)
    threads = _threads(environ)
    return Relay(
        config=config,
        outside=Outside(
            graph_api=GraphAPI(config.graph_api, _lazy_transport(threads + _SIDE_BY_SIDE), secrets, clock, chance),
            connections=config.connections,
            queue=PubSubQueue(cache(lambda: _publisher(environ)), config.queue) if config.queue else None,
            delivery_log=_delivery_log(config, environ),
            clock=clock,
            side_by_side=SideBySide(_SIDE_BY_SIDE),
        ),
        secrets=secrets,
        clock=clock,
        chance=chance,
    )


def _threads(environ: Mapping[str, str]) -> int:
    """Return how many requests an instance works on at once."""
    stated = environ.get("THREADS", "").strip()
    if stated and not (stated.isdecimal() and int(stated) > 0):
        raise ConfigurationError("THREADS must be a number: the instance's concurrency")
    return int(stated) if stated else _SIDE_BY_SIDE


def _document(environ: Mapping[str, str]) -> str:
    """Return the document: the variable's text, or the file that it names."""
    stated = environ.get("RELAY_CONFIG", "").strip()
    if not stated:
        raise ConfigurationError("RELAY_CONFIG is not set: the configuration document, or the path of its file")
    if stated.startswith("{"):
        return stated
    try:
        return Path(stated).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the file that RELAY_CONFIG names cannot be read ({type(error).__name__})") from None


def _lazy_transport(pool_size: int) -> Callable[..., Reply]:
    @cache
    def transport() -> Callable[..., Reply]:
        from lib.transport import RequestsTransport  # noqa: PLC0415 - requests costs 33 ms of each cold start

        return RequestsTransport(pool_size=pool_size)

    def call(*args: Any, **kwargs: Any) -> Reply:
        return transport()(*args, **kwargs)

    return call


def _delivery_log(config: Config, environ: Mapping[str, str]) -> DeliveryLog:
    if config.delivery_log is None:
        return ConsoleDeliveryLog()
    return BigQueryDeliveryLog(cache(lambda: _bigquery_client(environ)), config.delivery_log)


# The official clients weigh 150 to 240 ms at import, which no cold start should pay that does not need them.


def _secret_manager_client(environ: Mapping[str, str]) -> Any:
    from google.cloud.secretmanager import SecretManagerServiceClient  # noqa: PLC0415

    # Over REST: a channel of gRPC does not survive a fork, and the client imports requests anyway.
    if endpoint := environ.get("SECRET_MANAGER_ENDPOINT"):
        return SecretManagerServiceClient(
            transport="rest", credentials=_anonymous(), client_options={"api_endpoint": endpoint}
        )
    return SecretManagerServiceClient(transport="rest")


def _bigquery_client(environ: Mapping[str, str]) -> Any:
    from google.cloud import bigquery  # noqa: PLC0415

    if environ.get("BIGQUERY_EMULATOR_HOST"):
        project = environ.get("GOOGLE_CLOUD_PROJECT") or "local"
        return bigquery.Client(project=project, credentials=_anonymous())
    return bigquery.Client()


def _publisher(_environ: Mapping[str, str]) -> Any:
    from google.cloud.pubsub_v1 import PublisherClient  # noqa: PLC0415

    # The client itself heeds PUBSUB_EMULATOR_HOST.
    return PublisherClient()


def _anonymous() -> Any:
    """Return what stands for credentials where a service on loopback asks for none."""
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415

    return AnonymousCredentials()  # type: ignore[no-untyped-call]
