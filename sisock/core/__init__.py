"""The pure core: plain functions on arrays and frozen dataclasses, with no socket, file, clock or environment."""
