"""Where bytes rest: one folder or bucket, reached through obstore. ``paths`` spells the keys, ``Store`` does the rest."""

from app.storage.border import MissingObject
from app.storage.store import MANIFEST, TRANSFERS, ObjectInfo, Store, open_store

__all__ = ["MANIFEST", "TRANSFERS", "MissingObject", "ObjectInfo", "Store", "open_store"]
