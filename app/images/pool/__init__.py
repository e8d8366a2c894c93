"""Decoder processes: `pool` runs them, `process` is one of them as seen by its parent, `child` runs inside, `protocol` is between them.

A child imports this package, so it imports nothing itself.
"""
