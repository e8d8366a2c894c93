"""Where bytes are stored: one folder or bucket, through obstore. `paths` builds the keys, `Store` reads and writes the objects."""

from app.storage.object_tree import ObjectTree, open_tree
from app.storage.storage_errors import MissingObject
from app.storage.store import MANIFEST, TRANSFERS, LinkableBody, ObjectInfo, Store, open_store

__all__ = ["MANIFEST", "TRANSFERS", "LinkableBody", "MissingObject", "ObjectInfo", "ObjectTree", "Store", "open_store", "open_tree"]
