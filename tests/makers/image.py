"""The image that the simulated sites trust. A module of its own: a node that boots it needs nothing of a broker's."""

from __future__ import annotations

import hashlib

__all__ = ["MEASUREMENT"]

MEASUREMENT = hashlib.sha384(b"the measured image of the demo").digest()
