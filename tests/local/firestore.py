"""Google's Firestore emulator, where the Cloud CLI has it: started for a while, with the official client."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.local.stack import free_port

_JAR: Final = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
_MAIN: Final = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"


def jar() -> Path | None:
    """Return where the emulator is; None where the Cloud CLI or Java is not installed, or it is no part of them."""
    if not shutil.which("gcloud") or not shutil.which("java"):
        return None
    command = ["gcloud", "info", "--format=value(installation.sdk_root)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    path = Path(done.stdout.strip()) / _JAR
    return path if path.is_file() else None


@contextmanager
def firestore_emulator() -> Iterator[Any | None]:
    """Give a client of an emulator of its own; None where there is none."""
    if (path := jar()) is None:
        yield None
        return
    port = free_port()
    process = subprocess.Popen(
        ["java", "-Xmx256m", "-cp", str(path), _MAIN, "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port)
        client = client_of(f"127.0.0.1:{port}", "local")
        yield client
        client.close()
    finally:
        process.terminate()
        process.wait(10)


def client_of(address: str, project: str) -> Any:
    """Return the official client of the emulator at *address*."""
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415 - as in bootstrap, for those who need it
    from google.cloud import firestore  # noqa: PLC0415 - as above

    before = os.environ.get("FIRESTORE_EMULATOR_HOST")
    os.environ["FIRESTORE_EMULATOR_HOST"] = address
    try:
        return firestore.Client(project=project, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    finally:
        del os.environ["FIRESTORE_EMULATOR_HOST"]
        if before is not None:
            os.environ["FIRESTORE_EMULATOR_HOST"] = before


def _wait(port: int, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
