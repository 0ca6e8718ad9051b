"""A file on its way to a segment's audience, in this process, beside the stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib import bootstrap
from lib.errors import InvalidAccessTokenError
from lib.local_file import source_of
from lib.segments import Segment
from lib.uploading import Progress, Upload
from tests.local.stack import TOKEN, Stack


def upload(stack: Stack, path: Path, seen: list[tuple[int, int, int]]) -> Upload:
    relay = bootstrap.build(stack.environ())
    return Upload(
        relay=relay,
        source=source_of(str(path)),
        connection=relay.config.connections["acme"],
        segment=Segment("7", "VIP"),
        watch=lambda progress: seen.append((progress.total, progress.done, progress.rejected)),
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vip.csv"
    rows = [f"person{number}@example.com" if number % 5_000 else "nobody" for number in range(10_003)]
    path.write_text("email\n" + "\n".join(rows), encoding="utf-8")
    return path


def test_progress_is_told_after_each_batch(stack: Stack, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stack.bigquery.url)
    seen: list[tuple[int, int, int]] = []
    one = upload(stack, file, seen)
    answer = one.run()
    assert answer.outcome == "partial"
    assert seen[0] == (10_003, 0, 0)
    assert seen[-1] == (10_003, 10_003, 3)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert one.progress.audience_id == stack.graph.audiences()[-1]
    assert {row["caller"] for row in stack.rows()} == {"command"}


def test_nothing_is_left_to_the_queue(stack: Stack, file: Path) -> None:
    stack.graph.expire(TOKEN)
    one = upload(stack, file, [])
    with pytest.raises(InvalidAccessTokenError):
        one.run()
    assert one.progress == Progress()


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"outcome": "queued", "destination": "1", "rows_received": 9}, Progress(total=9, audience_id="1")),
        ({"outcome": "delivered", "num_received": 4, "rows_received": 4}, Progress(delivered=4)),
        ({"outcome": "partial", "num_received": 3, "rows_received": 4}, Progress(delivered=3)),
        ({"outcome": "failed", "rows_received": 4}, Progress(failed=4)),
        ({"outcome": "rejected", "rows_rejected": 2}, Progress(rejected=2)),
    ],
)
def test_rows_of_the_delivery_log_tell_how_far_it_is(row: dict[str, object], wanted: Progress) -> None:
    progress = Progress()
    progress.note(row)
    assert progress == wanted
