"""What a page may send: frozen, strict, no unknown keys; pictures by index and never by path."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from overfocus.core.edit import Edit, piece
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.place import unpacked
from overfocus.viewer.answer import paints
from overfocus.viewer.pictures import PictureList

B = TypeVar("B", bound="Body")
MOST_EDITS = 64
Index = Annotated[int, Field(ge=0)]
Fill = Literal["mean", "blur", "noise"]
Four = Annotated[list[int], Field(min_length=4, max_length=4)]
Two = Annotated[list[int], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(max_length=300)]


class Body(BaseModel):
    """The JSON object of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def read(cls: type[B], values: dict[str, Any]) -> B:
        """Check `values`; OverfocusError says in a line where the first thing lies that does not do, and why."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))[:100]
            raise OverfocusError(f"{where}: {first['msg'][:200]}") from None


class Empty(Body):
    """Nothing."""


class PaintBody(Body):
    """What a brush painted over."""

    fill: Fill
    mask: str
    """Bits as `core.place.packed` writes them."""


class PasteBody(Body):
    """A rectangle of another picture."""

    index: Index
    box: Four
    corner: Two


class Edited(Body):
    """A picture with edits."""

    index: Index
    edits: Annotated[list[PaintBody | PasteBody], Field(max_length=MOST_EDITS)] = []

    def made(self, pictures: PictureList, mean: Tensor) -> list[Edit]:
        """Return the edits of the picture; mean: the colour [C, 1, 1] of the fill of that name."""
        fills = paints(pictures[self.index].pixels, mean, self.key)
        return [self._made(each, pictures, fills) for each in self.edits]

    def _made(self, edit: PaintBody | PasteBody, pictures: PictureList, fills: dict[str, Tensor]) -> Edit:
        if isinstance(edit, PaintBody):
            try:
                return Edit(unpacked(edit.mask, pictures.size), fills[edit.fill], edit.fill)
            except ValueError as error:
                raise OverfocusError(f"edits: {error}") from error
        x0, y0, x1, y1 = edit.box
        x, y = edit.corner
        return piece(pictures[edit.index].pixels, (x0, y0, x1, y1), (x, y), pictures.size)

    @property
    def key(self) -> Key:
        """What noise and controls of the picture are drawn with."""
        return Key.seeded(0).at(torch.tensor([self.index]))


class Stroke(Edited):
    """A picture with edits, by the number of the stroke that made the last of them."""

    page: Annotated[str, Field(max_length=64)] = ""
    stroke: Index = 0


class Chosen(Edited):
    """A picture with edits for one model."""

    model: Index


class Mapped(Chosen):
    """The same with a method of attribution, and what hides."""

    method: Name
    fill: Fill = "mean"


class OneMethod(Edited):
    """A picture with edits, for all models."""

    method: Name


class Listed(Body):
    """A part of the list of pictures."""

    first: Index
    count: Annotated[int, Field(ge=1, le=100)]
    label: Name = ""
    """Only those of this class; empty for all."""


class One(Body):
    """One picture."""

    index: Index


class Dropped(Body):
    """A picture file."""

    name: Name
    data: str
    """In base64."""
