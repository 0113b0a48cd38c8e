"""What the host of an Azure guest gives besides its vTPM: a TD quote over a TDREPORT, and AMD's certificates.

Sources: Microsoft, "Azure confidential VMs: guest attestation" (`/acc/tdquote`), "Trusted Hardware Identity Management"
(`/metadata/THIM/amd/certification`). Bytes in JSON are base64url without padding; certificates are PEM.
"""

from __future__ import annotations

import base64
import binascii
import json

from clients.errors import Unavailable
from clients.workload.link_local import LinkLocal

__all__ = ["Imds"]

_QUOTE, _CERTIFICATES = "/acc/tdquote", "/metadata/THIM/amd/certification"
_MAX_ANSWER = 1 << 17  # bytes
_MAX_QUOTE = 1 << 16
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_MOST_CERTIFICATES = 4  # VCEK, ASK, ARK, and one to spare


class Imds:
    """The two questions that evidence needs; nothing that comes back is looked into."""

    def __init__(self, service: LinkLocal) -> None:
        self._service = service

    def td_quote(self, tdreport: bytes) -> bytes:
        """The quote that the host's quoting enclave makes of a TDREPORT; raises Unavailable."""
        asked = json.dumps({"report": base64.urlsafe_b64encode(tdreport).decode().rstrip("=")}).encode()
        found = self._json(_QUOTE, asked).get("quote")
        try:
            text = found.rstrip("=") if isinstance(found, str) else "!"
            quote = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            raise Unavailable(f"{_QUOTE} of the metadata service gave no quote in base64url") from error
        if not 0 < len(quote) <= _MAX_QUOTE:
            raise Unavailable(f"{_QUOTE} of the metadata service gave a quote of {len(quote)} bytes")
        return quote

    def certificates(self) -> tuple[bytes, ...]:
        """Those of this chip and above it, DER; none where the service gives none, for then the broker fetches them."""
        try:
            found = self._json(_CERTIFICATES, None)
            texts = f"{found.get('vcekCert')}{found.get('certificateChain')}"
            parts = [part.partition(_END)[0] for part in texts.split(_BEGIN)[1:]]
            blobs = [binascii.a2b_base64("".join(part.split()), strict_mode=True) for part in parts]
        except (Unavailable, ValueError):
            return ()
        return tuple(blobs) if len(blobs) <= _MOST_CERTIFICATES else ()

    def _json(self, path: str, body: bytes | None) -> dict[str, object]:
        data = self._service.ask(path, body=body, limit=_MAX_ANSWER)
        try:
            found = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"{path} of the metadata service gave no JSON") from error
        if not isinstance(found, dict):
            raise Unavailable(f"{path} of the metadata service gave no JSON object")
        return found
