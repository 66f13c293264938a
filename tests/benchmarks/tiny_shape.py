"""The smallest shape that has every part of the measured ones, and texts for its tokenizer."""

from benchmarks.checkpoints import Shape
from benchmarks.texts import Texts

TINY = Shape(
    name="tiny",
    layers=2,
    hidden=64,
    intermediate=96,
    heads=4,
    key_heads=2,
    head=16,
    vocabulary=400,
    response_tokens=4,
    documents=2,
    queries=2,
)
TEXTS = Texts(["the seal swims under the ice", "bears sleep"], ["who swims?"], "two")
