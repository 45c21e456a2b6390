"""sisock: scientific time series, served from where they are."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The original's programs say ``import sisock`` and then ``sisock.base.…``; Twisted is loaded only for those who do.
    if name == "base":
        return importlib.import_module("sisock.base")
    raise AttributeError(f"module 'sisock' has no attribute '{name}'")
