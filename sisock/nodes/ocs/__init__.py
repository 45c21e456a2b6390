"""Live feeds of OCS agents.

``node`` serves them, under the names of :mod:`sisock.nodes.ocs_names`. ``messages`` reads what agents publish;
``blocks`` tells which times of a block are believed, and ``timelines`` keeps its fields in buffers.
"""
