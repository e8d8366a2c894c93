"""Every setting of pictrawl in one tree. Read by entry points only; the parts get plain values from :mod:`app.resources`.

Order: defaults < ``pictrawl.toml`` < environment (``PICTRAWL_FETCH__PER_HOST=4``) < flags. An unknown name is an error.
"""

from app.settings.sections import TraceSettings
from app.settings.tree import ENV_PREFIX, RESERVED_VARIABLES, Settings, as_flags, config_path, load_settings, origins, setting_names

__all__ = [
    "ENV_PREFIX",
    "RESERVED_VARIABLES",
    "Settings",
    "TraceSettings",
    "as_flags",
    "config_path",
    "load_settings",
    "origins",
    "setting_names",
]
