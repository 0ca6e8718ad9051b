"""
The tag for server-side Google Tag Manager, from its parts in `gtm/`: `make gtm` builds it, and a test compares.

`gtm/template.tpl` is what a tag manager imports, `gtm/form.svg` the picture of its form, and, where Node and the
runner of template tests are at hand, `tests/data/gtm_requests.json` the requests that the tag makes in its own tests.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.tools.gtm_form import picture
from tests.tools.gtm_runner import NotAtHandError, Runner

ROOT: Final = Path(__file__).parents[2]
GTM: Final = ROOT / "gtm"
TEMPLATE: Final = GTM / "template.tpl"
FORM: Final = GTM / "form.svg"
REQUESTS: Final = ROOT / "tests" / "data" / "gtm_requests.json"

#: The gallery takes a template only with this text, word by word.
_TERMS: Final = """\
By creating or modifying this file you agree to Google Tag Manager's Community
Template Gallery Developer Terms of Service available at
https://developers.google.com/tag-manager/gallery-tos (or such other URL as
Google may provide), as modified from time to time."""
_NOTES: Final = "Built from its parts; change those, and build it again."


def part(name: str) -> str:
    """Return the text of a part of the template."""
    return (GTM / name).read_text(encoding="utf-8").strip()


def parameters() -> list[dict[str, Any]]:
    """Return the fields of the form."""
    fields: list[dict[str, Any]] = json.loads(part("parameters.json"))
    return fields


def permissions() -> list[dict[str, Any]]:
    """Return the permissions as a template writes them, which gives each value its type."""
    stated: Mapping[str, Mapping[str, object]] = json.loads(part("permissions.json"))
    return [
        {
            "instance": {
                "key": {"publicId": name, "versionId": "1"},
                "param": [{"key": key, "value": _typed(value)} for key, value in settings.items()],
            },
            "clientAnnotations": {"isEditedByUser": True},
            "isRequired": True,
        }
        for name, settings in stated.items()
    ]


def _typed(value: object) -> dict[str, Any]:
    """Return *value* with GTM's number for its type."""
    if isinstance(value, bool):
        return {"type": 8, "boolean": value}
    if isinstance(value, list):
        return {"type": 2, "listItem": [_typed(one) for one in value]}
    if isinstance(value, dict):
        return {
            "type": 3,
            "mapKey": [_typed(key) for key in value],
            "mapValue": [_typed(one) for one in value.values()],
        }
    return {"type": 1, "string": value}


def template() -> str:
    """Return the text of `template.tpl`."""
    sections = {
        "TERMS_OF_SERVICE": _TERMS,
        "INFO": _json(json.loads(part("info.json"))),
        "TEMPLATE_PARAMETERS": _json(parameters()),
        "SANDBOXED_JS_FOR_SERVER": part("template.js"),
        "SERVER_PERMISSIONS": _json(permissions()),
        # An export has no comments, and what reads it back may know none.
        "TESTS": re.sub(r"^# .*\n", "", part("tests.yaml"), flags=re.MULTILINE),
        "NOTES": _NOTES,
    }
    return "\n\n\n".join(f"___{name}___\n\n{text}" for name, text in sections.items()) + "\n"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def requests_of(runner: Runner) -> str:
    """Return the requests that the tag makes in the scenarios that print them, as a document."""
    return _json(runner.requests(TEMPLATE)) + "\n"


def main() -> int:
    """Write all that is generated."""
    TEMPLATE.write_text(template(), encoding="utf-8")
    FORM.write_text(picture(parameters()), encoding="utf-8")
    try:
        runner = Runner.find()
    except NotAtHandError as reason:
        print(f"{REQUESTS.relative_to(ROOT)} is left as it is: {reason}")
        return 0
    REQUESTS.write_text(requests_of(runner), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
