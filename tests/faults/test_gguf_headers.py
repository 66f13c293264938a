"""A GGUF header with counts, lengths or types that cannot be is an error that names the file."""

from __future__ import annotations

import struct

import pytest
import torch

from llm2vec_gen_rag.backbone import BackboneOptions, load_backbone, load_base_tokenizer
from llm2vec_gen_rag.errors import BaseModelError

pytest.importorskip("gguf", reason='needs the extra "gguf"')


def number(value):
    return struct.pack("<I", value)


def array(kind, count):
    return struct.pack("<IQ", kind, count)


def value(key, kind, content=b""):
    return struct.pack("<Q", len(key)) + key.encode() + number(kind) + content


def tensor(*sizes, offset=0):
    dimensions = struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
    return struct.pack("<Q", 1) + b"t" + dimensions + struct.pack("<IQ", 0, offset)


def loaded_backbone(path):
    return load_backbone(path, torch.device("cpu"), torch.float32, BackboneOptions())


@pytest.mark.parametrize("load", [load_base_tokenizer, loaded_backbone])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([value("x", 9, array(9, 1) * 5000)], "'x' is an array of arrays"),
        ([value("x", 9, array(9, 0))], "'x' is an array of arrays"),
        ([value("x", 9, array(8, 2**62))], f"'x' has {2**62} values, more than fit"),
        ([value("x", 9, array(12, 2**64 - 1))], f"'x' has {2**64 - 1} values, more than fit"),
        ([value("x", 9, array(13, 0))], "'x' is of the unknown type 13"),
        ([value("x", 77)], "'x' is of the unknown type 77"),
        ([value("x", 8, struct.pack("<Q", 2**63))], "it ends within its metadata"),
        ([struct.pack("<Q", 2**64 - 1)], "it ends within its metadata"),
        ([value("x", 4, number(1))] * 2, "states 'x' twice"),
        ([value("general.alignment", 4, number(0))], "general.alignment is 0; expected a power"),
        ([value("general.alignment", 4, number(24))], "general.alignment is 24"),
        ([value("general.alignment", 5, b"\xf8" + b"\xff" * 3)], "general.alignment is -8"),
        ([value("general.alignment", 9, array(9, 1))], "'general.alignment' is an array of arr"),
    ],
)
def test_a_header_that_states_what_cannot_be(tmp_path, load, values, said):
    path = tmp_path / "odd.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + b"".join(values))
    with pytest.raises(BaseModelError, match=rf"odd\.gguf' cannot be loaded: .*{said}"):
        load(str(path))


@pytest.mark.parametrize("load", [load_base_tokenizer, loaded_backbone])
@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([tensor()], "'t' has 0 dimensions; expected 1 to 4"),
        ([tensor(1, 1, 1, 1, 1)], "'t' has 5 dimensions"),
        ([tensor(4, 0)], r"'t' has the shape \(0, 4\)"),
        ([tensor(2**62, 4)], rf"'t' ends at {2**66 + 96}: it is cut short"),
        ([tensor(1, offset=2**64 - 32)], rf"'t' ends at {2**64 + 36}: it is cut short"),
        ([tensor(1)] * 2, "two tensors 't'"),
    ],
)
def test_a_tensor_that_cannot_be(tmp_path, load, tensors, said):
    path = tmp_path / "odd.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0) + b"".join(tensors)
    path.write_bytes(head.ljust(128, b"\0") + bytes(64))
    with pytest.raises(BaseModelError, match=rf"odd\.gguf' cannot be loaded: .*{said}"):
        load(str(path))
