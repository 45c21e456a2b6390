"""The engine of all nodes that serve files: many files of a field are one series, of which only a few are opened.

``format`` is the contract of formats, and ``file_archive`` makes nodes of one. Such a node stands on
``series_archive``, which serves fields given an index of files. ``folder_index`` is the index of a folder:
``listing`` finds its files, ``file_reader`` reads one of them. ``file_spans`` are the files of a field in order of
time, and ``served_field`` is the field as it is handed out, with its ``generation``. Files that follow one another
are joined to ``segments``: ``compaction`` says which, ``segment_loader`` makes and opens them. ``file_cache`` keeps
columns of single files on disk, and ``array_cache`` keeps arrays, for it and for segments.
"""

from sisock.nodes.archive.file_archive import FileArchive, FileFormat
from sisock.nodes.archive.format import Contents, FieldSamples, in_order

__all__ = ["Contents", "FieldSamples", "FileArchive", "FileFormat", "in_order"]
