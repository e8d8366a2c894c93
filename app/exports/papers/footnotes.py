"""Statements as Markdown: each sentence with a footnote that names the query behind it. One footnote for equal queries."""

from collections.abc import Iterable

from app.exports.cards import escape_cell
from app.exports.papers.statements import Statement

__all__ = ["Footnotes"]

HEADING = """\
## Where each sentence comes from

`:dataset` is the id of the dataset, {dataset}. Figures count the images of this export; where it is a part of the dataset, or images were
converted for it, they are those of its rows. Sentences without a footnote say what is not known."""


class Footnotes:
    """The footnotes of one document, numbered as they are first used."""

    def __init__(self, dataset_id: str) -> None:
        self._dataset_id = dataset_id
        self._numbers: dict[str, int] = {}

    def cite(self, statement: Statement) -> str:
        """The sentence, with a reference to what is behind it."""
        text = escape_cell(statement.text)
        if not statement.behind:
            return text
        return f"{text}[^{self._numbers.setdefault(statement.behind, len(self._numbers) + 1)}]"

    def items(self, statements: Iterable[Statement]) -> str:
        """The sentences as a list."""
        return "".join(f"- {self.cite(statement)}\n" for statement in statements)

    def definitions(self) -> str:
        """What the references mean, for the end of the document."""
        lines = (f"[^{number}]: `{behind}`\n" for behind, number in self._numbers.items())
        return f"{HEADING.format(dataset=escape_cell(self._dataset_id))}\n\n{''.join(lines)}"
