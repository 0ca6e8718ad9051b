"""
Puts the relay together: the only reader of the environment.

The configuration is checked when a function starts; what the functions are made of is loaded with the first request,
and so are the clients, since the server forks.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from lib import console_log
from lib.config import Config, parse_config
from lib.errors import ConfigurationError

if TYPE_CHECKING:
    from lib.delivery_log import DeliveryLog
    from lib.doctor import Clients
    from lib.handlers import Relay
    from lib.health_log import HealthLog
    from lib.ports import Clock, Gathering, Reply, Secrets, SideBySide
    from lib.recognition import Recognizer, Resolver

logger = logging.getLogger(__name__)

#: Calls of one request that are under way at once.
_SIDE_BY_SIDE: Final = 16


def start() -> Callable[[], Relay]:
    """
    Check the environment's description, and return what gives the relay, put together on first use.

    Without a sound description the process ends with status 1.
    """
    try:
        config = _checked(os.environ)
    except ConfigurationError as error:
        # Not through the log's level: whoever deploys this must see it.
        console_log.configure("ERROR", sys.stderr)
        logger.critical("%s", error.message)
        sys.exit(1)
    compose, lock = cache(lambda: _compose(config, os.environ)), Lock()

    def relay() -> Relay:
        # The first requests may come together, and there is one relay for all.
        with lock:
            return compose()

    return relay


def build(environ: Mapping[str, str]) -> Relay:
    """
    Put the relay together; nothing is called yet.

    Raises:
        ConfigurationError: RELAY_CONFIG is missing, cannot be read or has problems.
    """
    return _compose(_checked(environ), environ)


def _checked(environ: Mapping[str, str]) -> Config:
    config = parse_config(_document(environ))
    _threads(environ)
    console_log.configure(config.log_level, sys.stderr, project=environ.get("GOOGLE_CLOUD_PROJECT"))
    return config


def _compose(config: Config, environ: Mapping[str, str]) -> Relay:
    # Two thirds of what the package costs to load.
    from lib.graph_api import GraphAPI  # noqa: PLC0415
    from lib.handlers import Relay  # noqa: PLC0415
    from lib.ports import Chance, Clock, SideBySide  # noqa: PLC0415
    from lib.queue import PubSubQueue  # noqa: PLC0415
    from lib.secret_manager import SecretManager  # noqa: PLC0415
    from lib.sending import Outside  # noqa: PLC0415
    from lib.warehouse import Warehouse  # noqa: PLC0415

    clock, chance = Clock(), Chance()
    side_by_side = SideBySide(_SIDE_BY_SIDE)
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
            side_by_side=side_by_side,
            gathering=_gathering(config, environ, side_by_side),
            warehouse=Warehouse(
                bigquery=cache(lambda: _bigquery_client(environ)),
                storage=cache(lambda: _storage_client(environ)),
                delivery_log=config.delivery_log,
            ),
        ),
        secrets=secrets,
        clock=clock,
        chance=chance,
        health_log=_health_log(config, environ),
        renew_secret=secrets.renew,
        recognizer=_recognizer(config, environ, secrets, clock, threads),
        probe_identity=_identity_probe(config, secrets),
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
    from lib.delivery_log import BigQueryDeliveryLog, ConsoleDeliveryLog, CountedDeliveryLog  # noqa: PLC0415

    if config.delivery_log is None:
        return ConsoleDeliveryLog()
    return CountedDeliveryLog(BigQueryDeliveryLog(cache(lambda: _bigquery_client(environ)), config.delivery_log))


def _health_log(config: Config, environ: Mapping[str, str]) -> HealthLog:
    from lib.delivery_log import BigQueryDeliveryLog  # noqa: PLC0415
    from lib.health_log import BigQueryHealthHistory, HealthLog  # noqa: PLC0415

    if config.health_log is None:
        return HealthLog()
    client = cache(lambda: _bigquery_client(environ))
    return HealthLog(
        BigQueryDeliveryLog(client, config.health_log, name="health"), BigQueryHealthHistory(client, config.health_log)
    )


def _identity_probe(config: Config, secrets: Secrets) -> Callable[[], int | None] | None:
    if config.identity is None or config.identity.omni is None:
        return None
    from lib.identity_probe import IdentityProbe  # noqa: PLC0415 - for those alone who have such a service

    return IdentityProbe(config.identity.omni, _lazy_transport(1), secrets)


def clients(environ: Mapping[str, str]) -> Clients:
    """Return what makes the official clients, for a command that looks at what the functions only use."""
    from lib.doctor import Clients  # noqa: PLC0415

    return Clients(
        publisher=cache(lambda: _publisher(environ)),
        subscriber=cache(lambda: _subscriber(environ)),
        bigquery=cache(lambda: _bigquery_client(environ)),
    )


def _gathering(config: Config, environ: Mapping[str, str], side_by_side: SideBySide) -> Gathering | None:
    if config.segments is None or config.segments.topic is None or config.segments.subscription is None:
        return None
    from lib.gathering import PubSubGathering  # noqa: PLC0415 - for those alone who gather

    return PubSubGathering(
        publisher=cache(lambda: _publisher(environ)),
        subscriber=cache(lambda: _subscriber(environ)),
        topic=config.segments.topic,
        subscription=config.segments.subscription,
        side_by_side=side_by_side,
    )


def _recognizer(
    config: Config, environ: Mapping[str, str], secrets: Secrets, clock: Clock, threads: int
) -> Recognizer | None:
    if config.identity is None:
        return None
    from lib.ports import InTime  # noqa: PLC0415 - for those alone who have identity switched on
    from lib.recognition import Recognizer  # noqa: PLC0415 - as above

    return Recognizer(
        settings=config.identity,
        resolver=_resolver(config, environ, secrets, clock, threads),
        secrets=secrets,
        clock=clock,
        in_time=InTime(threads + _SIDE_BY_SIDE),
    )


def _resolver(
    config: Config, environ: Mapping[str, str], secrets: Secrets, clock: Clock, threads: int
) -> Resolver | None:
    from lib.breaker import Breaker  # noqa: PLC0415 - as above

    settings = config.identity
    if settings is None or not (settings.omni or settings.firestore or settings.memory):
        return None
    if settings.omni:
        from lib.omni import OmniIdentity  # noqa: PLC0415 - for those alone who have such a service

        return OmniIdentity(
            settings=settings.omni,
            timeout_s=settings.timeout_s,
            with_journal=settings.enrich.fbc != "none",
            transport=_lazy_transport(threads + _SIDE_BY_SIDE),
            secrets=secrets,
            clock=clock,
            breaker=Breaker(clock),
            cache_key=os.urandom(32),
        )
    from lib.firestore_store import FirestoreStore  # noqa: PLC0415 - for those alone who have a graph
    from lib.identity_graph import IdentityGraph, readings  # noqa: PLC0415 - as above
    from lib.identity_store import MemoryStore  # noqa: PLC0415 - as above

    where = settings.firestore
    return IdentityGraph(
        settings=settings,
        store=FirestoreStore(cache(lambda: _firestore_client(environ, where.database)), where)
        if where
        else MemoryStore(),
        secrets=secrets,
        clock=clock,
        breaker=Breaker(clock),
        readings=readings(config.connections.values(), now=clock.now()),
        waits=where is not None,
    )


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


def _storage_client(environ: Mapping[str, str]) -> Any:
    from google.cloud.storage import Client  # noqa: PLC0415

    # The client itself heeds STORAGE_EMULATOR_HOST.
    if environ.get("STORAGE_EMULATOR_HOST"):
        return Client(project=environ.get("GOOGLE_CLOUD_PROJECT") or "local", credentials=_anonymous())
    return Client()


def _publisher(_environ: Mapping[str, str]) -> Any:
    from google.cloud.pubsub_v1 import PublisherClient  # noqa: PLC0415

    # The client itself heeds PUBSUB_EMULATOR_HOST.
    return PublisherClient()


def _subscriber(_environ: Mapping[str, str]) -> Any:
    from google.cloud.pubsub_v1 import SubscriberClient  # noqa: PLC0415

    return SubscriberClient()


def _firestore_client(environ: Mapping[str, str], database: str) -> Any:
    from google.cloud import firestore  # noqa: PLC0415

    # The client itself heeds FIRESTORE_EMULATOR_HOST.
    if environ.get("FIRESTORE_EMULATOR_HOST"):
        project = environ.get("GOOGLE_CLOUD_PROJECT") or "local"
        return firestore.Client(project=project, database=database, credentials=_anonymous())
    return firestore.Client(database=database)


def _anonymous() -> Any:
    """Return what stands for credentials where a service on loopback asks for none."""
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415

    return AnonymousCredentials()  # type: ignore[no-untyped-call]
