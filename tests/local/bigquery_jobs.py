"""
Jobs of BigQuery's stand-in: queries and loads, each done as soon as it is begun.

-- https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
-- https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tests.local.bigquery_values import read_row
from tests.local.google_rest import GoogleError

LOCATION: Final = "US"
_PARTS: Final = 2


class Jobs:
    """The jobs of all projects by `project` and id; an id is taken for good."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], dict[str, Any]] = {}

    def claim(self, project: str, resource: Mapping[str, Any], serial: int) -> dict[str, Any]:
        """Return the resource of a new job; "Already Exists" with its place, as the service words it."""
        job_id = resource.get("jobReference", {}).get("jobId") or f"job_{serial}"
        if (project, job_id) in self._jobs:
            raise GoogleError(409, f"Already Exists: Job {project}:{LOCATION}.{job_id}")
        job = {
            "kind": "bigquery#job",
            "id": f"{project}:{LOCATION}.{job_id}",
            "jobReference": {"projectId": project, "jobId": job_id, "location": LOCATION},
            "configuration": resource.get("configuration", {}),
            "status": {"state": "DONE"},
            "statistics": {"creationTime": "1", "startTime": "1", "endTime": "1"},
        }
        self._jobs[project, job_id] = job
        return job

    def forget(self, job: Mapping[str, Any]) -> None:
        """Let go of a job that was refused at once."""
        reference = job["jobReference"]
        del self._jobs[reference["projectId"], reference["jobId"]]

    def get(self, project: str, job_id: str) -> dict[str, Any]:
        """Return a job."""
        if (project, job_id) not in self._jobs:
            raise GoogleError(404, f"Not found: Job {project}:{job_id}")
        return self._jobs[project, job_id]


def fail(job: dict[str, Any], reason: str, message: str) -> None:
    """Let a job end with an error."""
    error = {"reason": reason, "message": message}
    job["status"] = {"state": "DONE", "errorResult": error, "errors": [error]}


def read_upload(body: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
    """Return the job and the data of a multipart upload."""
    matched = re.search(r'boundary="?([^";]+)', content_type)
    mark = b"--" + (matched[1] if matched else "").encode()
    parts = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in body.split(mark)[1:-1]]
    if len(parts) != _PARTS:
        raise GoogleError(400, "Invalid multipart body.")
    return orjson.loads(parts[0]), parts[1]


def read_rows(data: bytes, columns: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of newline-delimited JSON, and what is wrong with them."""
    rows, problems = [], []
    for line in data.splitlines():
        row, found = read_row(orjson.loads(line), columns)
        rows.append(row)
        problems += [message for _, message in found]
    return rows, problems


class Uploads:
    """Resumable uploads that are under way."""

    def __init__(self) -> None:
        self._begun: list[tuple[dict[str, Any], bytearray]] = []

    def begin(self, job: dict[str, Any]) -> int:
        """Return the id of a new upload."""
        self._begun.append((job, bytearray()))
        return len(self._begun) - 1

    def take(self, upload: int, body: bytes, content_range: str) -> tuple[dict[str, Any], bytes] | int:
        """Take a part; return the job and all of its data with the last one, else how much there is."""
        job, data = self._begun[upload]
        data += body
        total = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+|\*)", content_range)
        if total is None:
            raise GoogleError(400, "Invalid Content-Range.")
        return (job, bytes(data)) if total[1] == str(len(data)) else len(data)
