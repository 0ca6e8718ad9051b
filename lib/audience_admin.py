"""
The audience of a segment, as Meta knows it: its name, and the segment's id in its description.

-- https://developers.facebook.com/docs/marketing-api/reference/ad-account/customaudiences
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lib.segments import Segment

#: "CUSTOM: 500 per ad account" -- the guide "Customer File Custom Audiences"
MAX_AUDIENCES: Final = 500
#: "flagged for integrity": takes no uploads.
FLAGGED: Final = 471
#: What is read of each audience.
FIELDS: Final = "id,name,description,subtype,time_created,operation_status"

#: Ends the description of an audience; what follows is the segment's id.
_MARK: Final = "Meta Relay segment: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """
    A customer-file audience.

    Args:
        segment_id: The segment that its description names; None where it names none.
        operation_status: Meta's code; None where it states none.
        created: Unix seconds; 0 where Meta states none.
    """

    id: str
    name: str
    description: str
    segment_id: str | None
    operation_status: int | None = None
    created: int = 0

    @property
    def age(self) -> tuple[int, int, str]:
        """What sorts audiences, the oldest first; each worker finds the same one."""
        return self.created, len(self.id), self.id


def new_audience(segment: Segment, *, prefix: str) -> dict[str, str]:
    """Return the body of the call that makes the audience of a segment."""
    return {
        "name": prefix + segment.name,
        "description": description_of(segment.id),
        "subtype": "CUSTOM",
        "customer_file_source": "USER_PROVIDED_ONLY",
    }


def description_of(segment_id: str, before: str = "") -> str:
    """Return the description of a segment's audience; what somebody has written before stays."""
    return f"{before.strip()} {_MARK}{segment_id}".strip()


def parse_audience(row: Mapping[str, Any]) -> Audience:
    """Return an audience of the list; what a key states in another type than Meta's counts as not stated."""
    description = row.get("description")
    text = description if isinstance(description, str) else ""
    _, mark, segment_id = text.rpartition(_MARK)
    status = row.get("operation_status")
    code = status.get("code") if isinstance(status, dict) else None
    created = row.get("time_created")
    return Audience(
        id=str(row.get("id", "")),
        name=row["name"] if isinstance(row.get("name"), str) else "",
        description=text,
        segment_id=segment_id.strip() if mark else None,
        operation_status=code if isinstance(code, int) else None,
        created=created if isinstance(created, int) and not isinstance(created, bool) else 0,
    )
