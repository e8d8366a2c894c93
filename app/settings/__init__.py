"""Every setting of pictrawl in one tree. Only entry points read it; :mod:`app.resources` passes plain values to the other packages.

Precedence: flags, environment (``PICTRAWL_FETCH__PER_HOST=4``), ``pictrawl.toml``, defaults. An unknown name is an error.
"""

from app.settings.sections import FetchSettings, KeyedSourceSettings, RetrySettings, TraceSettings
from app.settings.tree import ENV_PREFIX, RESERVED_VARIABLES, Settings, as_flags, config_path, load_settings, origins, setting_names

__all__ = [
    "ENV_PREFIX",
    "RESERVED_VARIABLES",
    "FetchSettings",
    "KeyedSourceSettings",
    "RetrySettings",
    "Settings",
    "TraceSettings",
    "as_flags",
    "config_path",
    "load_settings",
    "origins",
    "setting_names",
]
