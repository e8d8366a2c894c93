"""Exports of a dataset: one module for each format in :mod:`app.exports.formats`, and publication to a folder of the user.

Knows samples and bytes; no rows, jobs or network.
"""
