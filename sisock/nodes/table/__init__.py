"""Tables on disk, CSV and Parquet files, as time series.

``node`` serves them. ``csv_reader`` and ``parquet_reader`` read a file: of text, ``rows`` and ``cells``. ``times``
finds the column of times, ``fields`` makes fields of the others, ``notes`` says more of them than the table does.
"""
