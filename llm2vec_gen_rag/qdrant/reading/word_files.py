"""DOCX files as mammoth reads them: what is valid and would be lost is written in another way.

mammoth passes over simple fields (``w:fldSimple``), such as the number of a caption, with the text
in them, and fails at a style without a type or an id. Each is fine in Word; here the field's text
is put in its place, and such a style gets the default type (ECMA-376, part 1, 17.7.4.17) and an
empty id.
"""

from __future__ import annotations

import re
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Word 97's format, and the one of encrypted files
_ATTRIBUTES = rb"(?:\"[^\"<]*\"|'[^'<]*'|[^<>\"'])*"
_FIELD = re.compile(rb"</?w:fldSimple\b" + _ATTRIBUTES + rb">")
_STYLE_DEFAULTS = {b"w:type=": b"paragraph", b"w:styleId=": b""}
_STYLE = re.compile(rb"<w:style(?=[\s/>])(?P<rest>" + _ATTRIBUTES + rb">)")


def is_ole(content: bytes) -> bool:
    """Return whether a file is encrypted or of Word 97, and so no archive of XML."""
    return content.startswith(_OLE)


def for_mammoth(content: bytes) -> bytes:
    """Return a DOCX file of which mammoth reads all text.

    Args:
        content: the file.

    Returns:
        The same bytes if there is nothing to rewrite.

    Raises:
        zipfile.BadZipFile: it is no archive.
    """
    written = BytesIO()
    with ZipFile(BytesIO(content)) as archive:
        rewritten = _rewritten_parts(archive)
        if not rewritten:
            return content
        with ZipFile(written, "w", ZIP_DEFLATED) as copy:
            for name in archive.namelist():
                copy.writestr(name, rewritten.get(name) or archive.read(name))
    return written.getvalue()


def _rewritten_parts(archive: ZipFile) -> dict[str, bytes]:
    """Return the parts that hold something to rewrite, rewritten, by name."""
    names = (n for n in archive.namelist() if n.startswith("word/") and n.endswith(".xml"))
    parts = {name: archive.read(name) for name in names}
    rewritten = {
        name: _STYLE.sub(_completed, _FIELD.sub(b"", part)) for name, part in parts.items()
    }
    return {name: part for name, part in rewritten.items() if part != parts[name]}


def _completed(found: re.Match[bytes]) -> bytes:
    """Return the tag that begins a style, with both attributes."""
    missing = [name for name in _STYLE_DEFAULTS if not re.search(rb"\s" + name, found["rest"])]
    added = b"".join(b' %s"%s"' % (name, _STYLE_DEFAULTS[name]) for name in missing)
    return b"<w:style" + added + found["rest"]
