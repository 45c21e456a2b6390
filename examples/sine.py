"""A data node that serves a sine wave: four samples a second, of which it keeps a day."""

import time

import numpy as np

from sisock.base import DataNodeServer


class Sine(DataNodeServer):
    name = "sine"
    description = "A sine wave, two minutes a turn"

    def get_fields(self, start: float, end: float) -> tuple[dict, dict]:
        field = {"description": "The wave", "timeline": "quarters", "type": "number", "units": "V"}
        return {"wave": field}, {"quarters": {"interval": 0.25, "field": ["wave"]}}

    def get_data(self, field: list[str], start: float, end: float, min_stride: float | None = None) -> dict:
        now = time.time()
        times = np.arange(np.ceil(4 * max(start, now - 86400)), np.ceil(4 * min(end, now))) / 4
        data = {name: np.sin(times * np.pi / 60) for name in field if name == "wave"}
        return {"data": data, "timeline": {"quarters": {"t": times, "finalized_until": now}}}
