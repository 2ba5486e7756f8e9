"""A text with `{references}`: what most values, ids and conditions of a mapping are written as."""

from services.cli.importing.node import Node
from services.cli.importing.row import Getter, Row, text_of
from services.cli.importing.scope import Scope


def template(node: Node, scope: Scope) -> Getter:
    """The text of a row; absent as soon as one of the references is. Raises BadMapping."""
    pieces = scope.pieces(node.word(), node)
    if all(isinstance(piece, str) for piece in pieces):
        constant = "".join(piece for piece in pieces if isinstance(piece, str))
        return lambda _row: constant
    if len(pieces) == 1:
        (only,) = pieces
        assert not isinstance(only, str)
        return lambda row: None if (value := only(row)) is None else text_of(value)

    def joined(row: Row) -> str | None:
        texts = []
        for piece in pieces:
            if isinstance(piece, str):
                texts.append(piece)
                continue
            value = piece(row)
            if value is None:
                return None
            texts.append(text_of(value))
        return "".join(texts)

    return joined
