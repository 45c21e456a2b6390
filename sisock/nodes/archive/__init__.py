"""The engine of all nodes that serve files: many files of a field are one series, of which only a few are opened.

``format`` is what a format must tell, and ``file_archive`` the node to subclass for one. It stands on
``series_archive``, which serves fields given an index of the files: ``folder_index`` and ``listing`` are the index
of a folder, ``file_spans`` the spans of a field's files in order of time, ``served_field`` what is handed out of it.
Files that follow one another are kept as one ``segments`` entry; ``compaction`` says which, ``segment_loader`` makes
and opens them. ``generation`` is the identity of a field's past. ``file_cache`` and ``array_cache`` keep all of it on
disk.
"""

from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.format import Contents, FieldSamples, in_order

__all__ = ["Contents", "FieldSamples", "FileArchive", "in_order"]
