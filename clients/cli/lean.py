"""What a boot does without. An initramfs has little memory, and `keys get` is over before most of it would be used.

grpc loads asyncio for its other half, asyncio loads ssl, and hashlib loads OpenSSL for digests that Python has itself:
an event loop and a third copy of OpenSSL, beside that of `cryptography` and that of grpc, none of which a blocking call
needs. argparse asks shutil for the terminal's width, and shutil loads two decompressors. This is for the command's own
process alone, before anything else is loaded; a library must never do it to the program it is in. A grpc that does not
load like this is loaded as ever.
"""

from __future__ import annotations

import importlib
import sys
import types

__all__ = ["load_lean"]

_ABSENT = ("ssl", "_hashlib", "bz2", "lzma")
_EMPTY = ("asyncio", "grpc.aio")


def load_lean() -> None:
    """Load grpc and hashlib without what is not needed; does nothing where any of it is loaded already."""
    if any(name in sys.modules for name in (*_ABSENT, *_EMPTY, "grpc", "hashlib")):
        return
    modules: dict[str, types.ModuleType | None] = sys.modules  # type: ignore[assignment]  # None: an import of it fails
    before = set(modules)
    modules.update({name: types.ModuleType(name) for name in _EMPTY} | dict.fromkeys(_ABSENT))
    try:
        for name in ("hashlib", "hmac", "shutil", "grpc"):
            importlib.import_module(name)
    except (ImportError, AttributeError):
        for name in set(modules) - before:
            del modules[name]
    else:
        for name in ("asyncio", "ssl", "bz2", "lzma"):
            del modules[name]
