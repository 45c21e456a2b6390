"""The Grafana adapter: it speaks the protocols of Grafana's JSON plugins.

The way of a query: ``adapter``, then ``requests`` and ``options`` (what was sent), ``resolve`` with ``targets`` and
``filters`` (which series are meant), ``panel`` (what is asked for), ``replies`` with ``points`` and ``units`` (what is
sent back). ``rows`` and ``annotations`` are the other things that are drawn, ``status`` is what people look at.
``http`` is the web server; ``editor`` fills the lists of Grafana's editors.
"""
