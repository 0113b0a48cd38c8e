"""A call that no broker of ours answered: what gRPC found, in a sentence.

gRPC tells it as text alone, with its own path in front: "failed to connect to all addresses; last error: UNKNOWN:
ipv4:127.0.0.1:8443: Failed to connect to remote host: Connection refused". A text that is not known is passed on.
"""

from __future__ import annotations

import re

__all__ = ["no_answer"]

_PATH = re.compile(r"^(?:[A-Z_]+: )?(?:ipv[46]:\S+: )?(?:Failed to connect to remote host: )?")
_CLOSED = ("Socket closed", "Handshake read failed", "Connection reset by peer")
_KNOWN = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not of the CA that the trust file names"),
    (
        "Hostname Verification",
        "its certificate is of the right CA, but for other names ([listen] names, of the broker)",
    ),
    ("WRONG_VERSION_NUMBER", "what listens there does not speak TLS"),
    ("Deadline Exceeded", "it took too long"),
)


def no_answer(address: str, told: str, *, identified: bool) -> str:
    """Why nobody answered at `address`; `identified` is whether a client certificate was shown."""
    why = _PATH.sub("", told.rpartition("last error: ")[2])
    for text, meaning in _KNOWN:
        if text in why:
            return f"no answer from {address}: {meaning}"
    if any(text in why for text in _CLOSED):
        return f"no answer from {address}: it closed the connection. {_closed(identified=identified)}"
    return f"no answer from {address}: {why}"


def _closed(*, identified: bool) -> str:
    if identified:
        return "Is it the people port, and is the certificate of this deployment and still valid (sealgate login)?"
    return "Is it the workload port? The people port asks for a client certificate"
