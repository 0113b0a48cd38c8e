"""From pieces of collateral to what a verifier takes. Nothing is verified here, and nothing in a piece is believed.

What a piece holds follows from its name:

    amd/issuers/VCEK/Milan, amd/vcek/...           certificates as AMD serves them, PEM or DER
    amd/crl/VCEK/Milan, nvidia/rim/<identifier>    a list in DER, a manifest
    intel/...                                      an issuer chain in PEM, its size before it, and a body
    nvidia/crl/..., nvidia/ocsp/...                certificates in DER, their number before them, and a list or response
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace

from attest.errors import Malformed
from attest.evidence import Collateral, TdxCollateral, read_certificates
from kbs.model.collateral import Piece

__all__ = ["chain_of", "collateral_of", "pack_below", "pack_chain", "pem_of", "unpack_below", "unpack_chain"]

_MOST_LINKS = 8


def collateral_of(pieces: Sequence[Piece]) -> Collateral:
    """All pieces together; those of a kind that is not known are left out. Raises Malformed."""
    of: dict[str, list[bytes]] = {"certificates": [], "crls": [], "rims": [], "ocsp": []}
    for piece in pieces:
        match piece.name.split("/"):
            case ["amd", "crl", *_]:
                of["crls"].append(piece.data)
            case ["amd", "issuers" | "vcek", *_]:
                of["certificates"] += read_certificates(piece.data, path=piece.name)
            case ["nvidia", "rim", *_]:
                of["rims"].append(piece.data)
            case ["nvidia", "crl" | "ocsp" as kind, *_]:
                of["crls" if kind == "crl" else "ocsp"].append(unpack_chain(piece.data)[1])
    return Collateral(**{kind: tuple(found) for kind, found in of.items()}, tdx=tuple(_certified(pieces)))


def chain_of(piece: Piece) -> bytes:
    """The whole chain, PEM, of a piece that is a certificate of a platform's."""
    above, leaf = unpack_below(piece.data)
    return leaf.rstrip(b"\0\r\n ") + b"\n" + above


def pem_of(der: bytes) -> bytes:
    """A certificate in PEM."""
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode()


def _certified(pieces: Sequence[Piece]) -> Iterator[TdxCollateral]:
    """Families, each chain of a platform's beside one of them: a verifier looks for chains in all."""
    families = list(_families(pieces))
    chains = [chain_of(piece) for piece in pieces if piece.name.startswith("intel/pck/")]
    for number in range(max(len(families), len(chains)) if families else 0):
        chain = chains[number] if number < len(chains) else b""
        yield replace(families[number % len(families)], pck_certificate_chain=chain)


def _families(pieces: Sequence[Piece]) -> Iterator[TdxCollateral]:
    """One for each platform family and PCK CA that all parts are there for."""
    parts = {piece.name: unpack_below(piece.data) for piece in pieces if piece.name.startswith("intel/")}
    root = parts.get("intel/rootcrl")
    lists = [part for name, part in parts.items() if name.startswith("intel/pckcrl/")]
    if root is None:
        return
    for name, tcb in parts.items():
        match name.split("/"):
            case ["intel", "tcb", tee, _] if (qe := parts.get(f"intel/qe/{tee}")) is not None:
                for pck_crl in lists:
                    yield TdxCollateral(
                        tcb_info=tcb[1],
                        tcb_info_issuer_chain=tcb[0],
                        qe_identity=qe[1],
                        qe_identity_issuer_chain=qe[0],
                        pck_crl=pck_crl[1],
                        pck_crl_issuer_chain=pck_crl[0],
                        root_ca_crl=root[1],
                    )


def pack_below(chain: bytes, body: bytes) -> bytes:
    """A piece of Intel's: an issuer chain and what it stands above."""
    return len(chain).to_bytes(4, "big") + chain + body


def unpack_below(data: bytes) -> tuple[bytes, bytes]:
    """The issuer chain and the body of a piece of Intel's."""
    size = int.from_bytes(data[:4], "big")
    return data[4 : 4 + size], data[4 + size :]


def pack_chain(chain: Sequence[bytes], body: bytes) -> bytes:
    """A piece of NVIDIA's: certificates in DER, then the body."""
    items = (len(der).to_bytes(4, "big") + der for der in chain)
    return bytes([len(chain)]) + b"".join(items) + body


def unpack_chain(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The certificates and the body of a piece of NVIDIA's; raises Malformed COLLATERAL_CHAIN."""
    count, at, chain = data[:1], 1, []
    for _ in range(count[0] if count and count[0] <= _MOST_LINKS else 0):
        size = int.from_bytes(data[at : at + 4], "big")
        chain.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if not count or count[0] > _MOST_LINKS or at > len(data):
        raise Malformed("COLLATERAL_CHAIN", "piece", expected="a chain and what it is about", got=f"{len(data)} bytes")
    return tuple(chain), data[at:]
