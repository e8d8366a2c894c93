"""How a dataset leaves: one module for each format in :mod:`app.exports.formats`, and publication to a folder of the user's.

Knows samples and bytes; no row, no job, no network.
"""
