"""Shorter vectors: the leading numbers of each, where a checkpoint was trained for it.

Training on several lengths at once (Kusupati et al., Matryoshka Representation Learning, arXiv
2205.13147) puts what matters most first. The objective here, equality with a teacher's vector, does
not: which numbers come first is chance, and the leading ones are no embedding.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from llm2vec_gen_rag.checkpoint.format import Checkpoint

_KEY = "matryoshka_dims"


def with_leading_dimensions(checkpoint: Checkpoint, dimensions: int, name: str) -> Checkpoint:
    """Return a checkpoint whose alignment head gives the leading numbers alone.

    Args:
        checkpoint: the checkpoint.
        dimensions: how many numbers to keep of a vector.
        name: what the checkpoint is loaded as, for the error.

    Returns:
        The checkpoint, its alignment head hidden -> `dimensions`.

    Raises:
        ValueError: if it was not trained for this length.
    """
    whole = checkpoint.alignment
    trained: object = checkpoint.run_config.get(_KEY) or []
    if not isinstance(trained, list) or dimensions not in trained or isinstance(dimensions, bool):
        lengths = f"for {trained}" if trained else "for no other length"
        raise ValueError(
            f"truncate_dim is {dimensions!r}, and {name!r} was trained for vectors of "
            f"{whole.out_features} numbers and {lengths} ({_KEY} in run_config.yml). It learned to "
            "equal a teacher's vectors, whose leading numbers are no embedding. Leave truncate_dim "
            "out; to store less, let the vector store quantise."
        )
    if not 1 <= dimensions <= whole.out_features:
        raise ValueError(
            f"truncate_dim is {dimensions}, as {_KEY} in run_config.yml lists; expected 1 to "
            f"{whole.out_features}, the length of the vectors of {name!r}"
        )
    head = nn.Linear(whole.in_features, dimensions)
    head.weight.data = whole.weight.data[:dimensions].clone()
    head.bias.data = whole.bias.data[:dimensions].clone()
    return replace(checkpoint, alignment=head.requires_grad_(False))
