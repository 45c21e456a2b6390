"""The Grafana adapter: it speaks the protocols of Grafana's JSON plugins.

The way of a query, in the order in which to read it: ``http/server`` takes it, ``adapter`` leads it through
``requests`` with ``options`` (the request as dataclasses), ``resolve`` (the series of each target), ``panel`` (the
questions to the gateway) and ``replies`` (the entries of the reply). Only what a panel has for the first time passes
``targets``, the grammar of targets, and ``units``; only what has some, ``filters``.

``rows`` and ``annotations`` are other ways to draw, ``status`` is the page for people. ``http`` is the web server,
``editor`` fills the lists of Grafana's editors.
"""
