"""
What Meta answers to those who look after a deployment: tokens, datasets and the quality of what they get.

Sources, by the keys of the reference notes: "debug_token" and C-dq are the pages of these names (Graph API reference,
"Dataset Quality API" of the Conversions API); Node is ads-pixel.js of facebook-nodejs-business-sdk.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from tests.local.graph_payload import InvalidParameterError
from tests.local.http_server import Request

DEBUG_TOKEN: Final = "debug_token"
#: "To get real time information about a token": the one call with a token in its query (debug_token).
TOKEN_PARAMETERS: Final = frozenset(["input_token", "appsecret_proof"])
QUALITY_PARAMETERS: Final = frozenset(["dataset_id", "agent_name", "fields", "appsecret_proof"])
DATASET_FIELDS: Final = frozenset(  # Node
    ["id", "name", "is_unavailable", "is_restricted_use", "last_fired_time", "is_consolidated_container"]
)
ME_FIELDS: Final = frozenset(["id", "name"])
#: C-dq, "Fields" and the samples, which say `dedupe_key_feedback`.
QUALITY_FIELDS: Final[Mapping[str, Any]] = {
    "event_name": {},
    "event_match_quality": {
        "composite_score": {},
        "match_key_feedback": {"identifier": {}, "coverage": {"percentage": {}, "goal_percentage": {}}},
        "diagnostics": {"name": {}, "description": {}, "solution": {}, "percentage": {}},
    },
    "event_coverage": {"percentage": {}, "goal_percentage": {}, "description": {}},
    "dedupe_key_feedback": {"dedupe_key": {}},
    "data_freshness": {"upload_frequency": {}, "description": {}},
    "acr": {"percentage": {}, "description": {}},
    "event_potential_aly_acr_increase": {"percentage": {}, "description": {}},
}


class RefusedError(Exception):
    """Meta's error; its arguments are the code, the message, the subcode and the status."""


@dataclass(slots=True)
class Health:
    """
    What a test sets; all is well at first.

    Args:
        expires_at: Unix seconds at which a token ends; 0 (never) for one that is not named.
        scopes: What a token may do.
        account_status: Of an ad account; 1 (active) for one that is not named.
        datasets: Facts of a dataset that differ from those of a healthy one.
        quality: Of each dataset, an entry for each event.
        matched: How many people of an audience's sessions were matched; -1 (not yet known) for one that is not named.
        changed: Unix seconds at which an audience last got or lost people.
    """

    expires_at: dict[str, int] = field(default_factory=dict)
    scopes: dict[str, list[str]] = field(default_factory=dict)
    account_status: dict[str, int] = field(default_factory=dict)
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    quality: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    matched: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)

    def dataset(self, dataset_id: str) -> dict[str, Any]:
        """Return the view of a dataset."""
        well = {"name": f"Dataset {dataset_id}", "is_unavailable": False, "is_restricted_use": False}
        return {
            **well,
            "last_fired_time": "2026-11-24T10:00:00+0000",
            **self.datasets.get(dataset_id, {}),
            "id": dataset_id,
        }

    def set_quality(
        self,
        dataset_id: str,
        event_name: str,
        *,
        score: float = 8.0,
        coverage: float = 90.0,
        goal: float = 75.0,
        frequency: str = "real_time",
    ) -> None:
        """Let an event of a dataset be of that quality."""
        entries = [one for one in self.quality.get(dataset_id, []) if one["event_name"] != event_name]
        self.quality[dataset_id] = [*entries, _quality(event_name, score, coverage, goal, frequency)]


def _quality(event_name: str, score: float, coverage: float, goal: float, frequency: str) -> dict[str, Any]:
    return {
        "event_name": event_name,
        "event_match_quality": {
            "composite_score": score,
            "match_key_feedback": [{"identifier": "email", "coverage": {"percentage": 100}}],
        },
        "event_coverage": {"percentage": coverage, "goal_percentage": goal, "description": "The percentage of events."},
        "data_freshness": {"upload_frequency": frequency, "description": "The average frequency of events."},
    }


def debug_token(
    request: Request, apps: Mapping[str, Any], expired: Mapping[str, Any], health: Health
) -> dict[str, Any]:
    """
    Tell what a token is; *apps* are those of the good tokens and of the *expired* ones.

    "The access_token and input_token can be associated with different users but must be associated with the same app."
    """
    checked = request.parameter("input_token")
    if not checked:
        raise InvalidParameterError("(#100) You must provide an input token")
    caller = request.headers.get("authorization", "").removeprefix("Bearer ")
    known = [app for app in [*apps.values(), *expired.values()] if app.app_id and app.app_secret]
    if caller not in {f"{app.app_id}|{app.app_secret}" for app in known}:
        raise RefusedError(190, "Invalid OAuth access token signature.", None, HTTPStatus.BAD_REQUEST)
    app_id = caller.partition("|")[0]
    app = apps.get(checked)
    if app is None:
        error = {"code": 190, "message": "Error validating access token: Session has expired", "subcode": 463}
        return {"data": {"app_id": app_id, "is_valid": False, "scopes": [], "error": error}}
    if app.app_id != app_id:
        message = "(#100) The App_id in the input_token did not match the Viewing App"
        raise RefusedError(100, message, None, HTTPStatus.BAD_REQUEST)
    return {
        "data": {
            "app_id": app_id,
            "application": "Relay",
            "type": "SYSTEM_USER",
            "is_valid": True,
            "expires_at": health.expires_at.get(checked, 0),
            "data_access_expires_at": 0,
            "issued_at": 1_790_000_000,
            "scopes": health.scopes.get(checked, ["ads_management", "ads_read", "business_management"]),
            "user_id": "122100000000000001",
        }
    }


def quality(request: Request, health: Health) -> dict[str, Any]:
    """Tell of the events of a dataset what was asked for, under `web`."""
    asked = parse_fields(request.parameter("fields") or "")
    if asked.keys() != {"web"}:
        raise InvalidParameterError("(#100) Tried accessing nonexisting field on node type (AdsDatasetQuality)")
    _check_known(asked["web"], QUALITY_FIELDS)
    entries = health.quality.get(request.parameter("dataset_id") or "", [])
    return {"web": [_selected(entry, asked["web"]) for entry in entries]}


def parse_fields(text: str) -> dict[str, Any]:
    """Return `a,b{c,d{e}}` as nested objects."""
    root: dict[str, Any] = {}
    open_ones = [root]
    name = ""
    for token in re.findall(r"\w+|[{},]", text):
        if token == "{":
            open_ones.append(open_ones[-1][name])
        elif token == "}":
            open_ones.pop()
        elif token != ",":
            name = token
            open_ones[-1][name] = {}
    return root


def _check_known(asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name, below in asked.items():
        if name not in known:
            raise InvalidParameterError(f"(#100) Tried accessing nonexisting field ({name})")
        _check_known(below, known[name])


def _selected(value: Any, asked: Mapping[str, Any]) -> Any:
    if not asked:
        return value
    if isinstance(value, list):
        return [_selected(one, asked) for one in value]
    return {name: _selected(value[name], below) for name, below in asked.items() if name in value}


def token_violations(request: Request, tokens: Iterable[str]) -> list[str]:
    """Return what must not be in a call of `debug_token`: a token anywhere but in `input_token`."""
    values = [value for key, value in request.query if key != "input_token"]
    held = request.parameter("access_token") is not None or any(token in values for token in tokens)
    return ["a token outside the Authorization header and input_token"] if held else []
