"""The extensions of a certificate: what is used of them.

Source: RFC 5280 sections 4.2.1.3 and 4.2.1.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

__all__ = ["Extensions", "read_extensions"]

_KNOWN_CRITICAL = frozenset({ExtensionOID.BASIC_CONSTRAINTS.dotted_string, ExtensionOID.KEY_USAGE.dotted_string})


class Extensions(NamedTuple):
    """What is used of a certificate's extensions.

    `others` are the DER values by dotted OID of those that X.509 does not define; `duplicate` is the OID of one that
    occurs twice, in which case none was read; `critical` are those that must be understood and are not.
    """

    is_ca: bool
    path_length: int | None
    signs_certificates: bool
    others: Mapping[str, bytes]
    critical: tuple[str, ...]
    duplicate: str | None


def read_extensions(found: x509.Certificate) -> Extensions:
    """Of any extensions, as the library reads them; raises what it raises."""
    duplicate: str | None = None
    try:
        extensions = tuple(found.extensions)
    except x509.DuplicateExtension as error:
        extensions, duplicate = (), error.oid.dotted_string
    constraints, usage, others, critical = None, None, {}, []
    for extension in extensions:
        value, oid = extension.value, extension.oid.dotted_string
        if isinstance(value, x509.BasicConstraints):
            constraints = value
        elif isinstance(value, x509.KeyUsage):
            usage = value
        elif isinstance(value, x509.UnrecognizedExtension):
            others[oid] = value.value
        if extension.critical and oid not in _KNOWN_CRITICAL:
            critical.append(oid)
    return Extensions(
        is_ca=constraints is not None and constraints.ca,
        path_length=constraints.path_length if constraints is not None else None,
        signs_certificates=usage is not None and usage.key_cert_sign,
        others=others,
        critical=tuple(critical),
        duplicate=duplicate,
    )
