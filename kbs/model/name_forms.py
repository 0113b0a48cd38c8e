"""How names are written, for those who check a name and need no more of it: a boot in a measured image."""

from __future__ import annotations

import re

__all__ = ["ASSET", "ASSET_SAYS", "ID", "PURPOSE"]

ID = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
ASSET = re.compile(rf"tenants/({ID})/assets/({ID})", re.ASCII)
ASSET_SAYS = "tenants/TENANT/assets/ASSET in lower-case letters, digits and '-'"
PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
