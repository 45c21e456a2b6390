"""Text archives, a format a module: ``weather``, ``apex_weather`` and ``radiometer``; ``rows`` is what they share."""
