"""Housekeeping archives that OCS writes: ``.g3`` files, found through an index in an SQL database.

``node`` serves them. ``scan`` finds new files, ``store`` writes what is in them into ``tables``, and ``index`` answers
from those. ``reader`` finds where frames end, and decodes them by so3g; ``frames`` says what they mean, and ``fields``
reads chosen fields of a file.
"""
