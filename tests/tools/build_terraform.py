"""Writes tests/data/terraform.json anew from what Terraform plans."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests import terraform


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as place:
        try:
            made = terraform.workspace(Path(place) / "work")
        except terraform.UnavailableError as error:
            sys.exit(str(error))
        terraform.RENDERING.write_text(terraform.written(terraform.rendered(dict(made.plans()))), encoding="utf-8")


if __name__ == "__main__":
    main()
