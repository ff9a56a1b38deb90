"""What an ONNX file of ours says of itself, and how it is known to be whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from truthtag.options import Options, Real, Whole

__all__ = ["DIGEST", "FORMAT", "FORMAT_KEY", "OnnxContent", "model_digest"]

FORMAT = "truthtag onnx 1"
"""What a file has under :data:`FORMAT_KEY`."""

FORMAT_KEY = "format"
DIGEST = "digest"
"""Where a file holds the digest of all else that it holds."""


class OnnxContent(Options):
    """What the numbers of a file mean. Each entry is a property of the file, as JSON.

    Example:
        >>> content = OnnxContent(
        ...     layout="truthtag", features=("pt",), units=("GeV",), flavours=(0, 5), networks=20
        ... )
        >>> content.to_properties()["features"]
        '["pt"]'
    """

    layout: Literal["truthtag", "athena"]
    """`truthtag`: efficiencies at each working point, and their spread over the networks. `athena`:
    probabilities of the tag bins of ATLAS's truth tagging tool."""

    features: tuple[str, ...]
    """What the last axis of the input holds, in this order."""

    units: tuple[str, ...]
    """Unit of each feature, `1` or empty where it has none."""

    flavours: tuple[int, ...]
    """Hadron flavours that the networks know."""

    working_points: tuple[str, ...] = ()
    """Their names, the loosest first; empty, or one, where there is one."""

    categories: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Values of those features that are categories."""

    ranges: dict[str, tuple[Real, Real]] = Field(default_factory=dict)
    """Lowest and highest value in the training sample, in the unit of the file; of those features
    for which it is known, and of `n_jets`, the number of jets of an event."""

    networks: Annotated[Whole, Field(ge=1)]
    """Number of networks whose mean is the efficiency."""

    folds: dict[str, Any] = Field(default_factory=dict)
    """Where networks were fitted without each fold of the training samples: `count`, `by`, and, in
    a file for the training samples, the `fold` whose events it serves."""

    provenance: dict[str, Any] = Field(default_factory=dict)
    """Where the networks come from."""

    def to_properties(self) -> dict[str, str]:
        """Return the entries as properties of an ONNX file, the format first."""
        properties = {FORMAT_KEY: FORMAT}
        for name, value in self.model_dump(mode="json").items():
            properties[name] = json.dumps(value, sort_keys=True, allow_nan=False)
        return properties

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> OnnxContent:
        """Rebuild from :meth:`to_properties`.

        Raises:
            ValueError: An entry is missing, unknown, or of another type.
        """
        stored = {}
        for name, text in properties.items():
            if name not in (FORMAT_KEY, DIGEST):
                stored[name] = json.loads(text)
        return cls.model_validate_json(json.dumps(stored))


def model_digest(model: Any) -> str:
    """Return the SHA-256 of an ``onnx.ModelProto``, all but its own digest."""
    rest = type(model)()
    rest.CopyFrom(model)
    kept = [entry for entry in model.metadata_props if entry.key != DIGEST]
    del rest.metadata_props[:]
    rest.metadata_props.extend(kept)
    return hashlib.sha256(rest.SerializeToString(deterministic=True)).hexdigest()
