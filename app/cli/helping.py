"""How help looks: plain text in sections, without rich, whose import alone would take longer than the whole answer may."""

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

__all__ = ["SectionedCommand", "SectionedGroup", "sections_of"]

ARGUMENTS, OPTIONS = "Arguments", "Options"


def sections_of(command: Any, ctx: "Context") -> dict[str, list[tuple[str, str]]]:
    """Parameters with their help, by section, arguments first and global options last."""
    sections: dict[str, list[tuple[str, str]]] = {ARGUMENTS: []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            default = ARGUMENTS if parameter.param_type_name == "argument" else OPTIONS
            name = getattr(parameter, "rich_help_panel", None) or default
            sections.setdefault(name, []).append((record[0], record[1]))
    ordered = sorted(sections.items(), key=lambda item: item[0].startswith("Global"))
    return {name: records for name, records in ordered if records}


def _write(command: Any, ctx: "Context", formatter: "HelpFormatter") -> None:
    for name, records in sections_of(command, ctx).items():
        with formatter.section(name):
            formatter.write_dl(records)


class SectionedCommand(TyperCommand):
    """A command whose help has sections."""

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the sections."""
        _write(self, ctx, formatter)


class SectionedGroup(TyperGroup):
    """A group whose help has its commands first: they are what one looks for."""

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the commands, then the sections."""
        self.format_commands(ctx, formatter)
        _write(self, ctx, formatter)
