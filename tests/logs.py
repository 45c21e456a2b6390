"""A log whose lines a test can look at."""

from __future__ import annotations


class Log:
    """Keeps what is logged, as text."""

    def __init__(self):
        self.lines = []

    def error(self, text, **values):
        self.lines.append(text.format(**values))

    failure = error
