"""How the project logs: loguru, one event a line, secrets kept out. Knows no other package of ours."""

from logging_setup.configure import LogFormat, add_sink, configure, dropped_lines, get_logger, remove_sink
from logging_setup.redact import redact

__all__ = ["LogFormat", "add_sink", "configure", "dropped_lines", "get_logger", "redact", "remove_sink"]
