"""Images that lie on this machine: the files of a folder, the members of tar shards, the rows of Parquet files, an earlier dataset.

Reads the folder and never changes it. Knows no row and no job; the store gets the bytes from :mod:`app.discovery.folders.reading`.
"""
