"""Where bytes are stored: one folder or bucket, through obstore. `paths` builds the keys, `Store` reads and writes the objects."""

from app.storage.storage_errors import MissingObject
from app.storage.store import MANIFEST, TRANSFERS, ObjectInfo, Store, open_store

__all__ = ["MANIFEST", "TRANSFERS", "MissingObject", "ObjectInfo", "Store", "open_store"]
