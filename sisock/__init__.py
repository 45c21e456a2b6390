"""sisock: scientific time series, served from where they are."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Programs written for the original import only the package; Twisted is loaded once they use its base.
    if name == "base":
        return importlib.import_module("sisock.base")
    raise AttributeError(f"module 'sisock' has no attribute '{name}'")
