"""Housekeeping archives that OCS writes: ``.g3`` files, found through an index in an SQL database.

``node`` serves them. ``scan`` finds new files, ``store`` writes what is in them into ``tables``, and ``index`` answers
from those. ``reader`` decodes frames by so3g, ``layout`` finds where they end, ``frames`` tells what they mean, and
``fields`` reads chosen fields of a file.
"""
