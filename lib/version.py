"""The version of this package, which is in each row of the delivery log."""

from typing import Final

RELAY_VERSION: Final = "1.0.0"
