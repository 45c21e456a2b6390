"""Live feeds of OCS agents.

``node`` serves them. ``messages`` reads what agents publish, ``blocks`` keeps it in buffers.
"""
