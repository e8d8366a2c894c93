"""The papers of an export, written from counted samples and a :class:`app.exports.provenance.Provenance`: what it holds, where that comes
from, and how a program reads it.
"""
