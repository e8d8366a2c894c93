"""The application core: records, settings, sources, images, storage, exports, database, and the two ways in (CLI and web)."""
