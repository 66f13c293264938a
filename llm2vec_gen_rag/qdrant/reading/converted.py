"""Documents of office and web programs as sections of text: PDF by page, HTML and DOCX by heading.

PDF is read by pypdf, DOCX by mammoth, which makes HTML of it, and HTML by Beautiful Soup and
markdownify, which make Markdown of it. Addresses of links and pictures are left out, and so is the
sign behind a heading that links to it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from llm2vec_gen_rag.errors import first_line
from llm2vec_gen_rag.qdrant.reading.sections import Section, markdown_sections
from llm2vec_gen_rag.qdrant.reading.typesetting import whole_words
from llm2vec_gen_rag.qdrant.reading.word_files import for_mammoth, is_ole

logger = logging.getLogger(__name__)
_INVISIBLE = ("script", "style", "noscript", "template")
_PERMALINKS = (
    "\u00b6",
    "\u00a7",
    "#",
    "\uf0c1",
    "\U0001f517",
)  # the last two: a chain, as Sphinx has


class ConversionError(ValueError):
    """A file that cannot be converted, or has no text; the message is a clause such as "it ..."."""


def missing_package(suffix: str) -> str | None:
    """Return which package a kind of file needs that is not installed; None if all are."""
    packages = _NEEDED.get(suffix, ())
    return next((name for name in packages if find_spec(name) is None), None)


def converted_sections(file: Path) -> list[Section]:
    """Return the sections of a file with text in them.

    Args:
        file: a PDF, HTML or DOCX file.

    Returns:
        The sections, in order.

    Raises:
        ConversionError: if it is damaged, encrypted, or has no text.
        OSError: if it cannot be read.
    """
    suffix = file.suffix.lower()
    content = file.read_bytes()
    try:
        sections = _CONVERTERS[suffix](content)
    except ConversionError:
        raise
    except Exception as error:  # a damaged file raises anything
        why = f"{type(error).__name__}: {first_line(error)}"
        raise ConversionError(f"it cannot be converted to text ({why})") from error
    with_text = [section for section in sections if section.text.strip()]
    if not with_text:
        remedy = ": if it is a scan, recognise its text first, such as with ocrmypdf"
        raise ConversionError(f"it holds no text{remedy if suffix == '.pdf' else ''}")
    numbers = [section.metadata.get("page") for section in sections if not section.text.strip()]
    if suffix == ".pdf" and numbers:
        logger.warning("%s: no text on pages %s, such as scans; they are left out", file, numbers)
    return with_text


def _pdf(content: bytes) -> list[Section]:
    from pypdf import PasswordType, PdfReader

    reader = PdfReader(BytesIO(content))
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise ConversionError("it is encrypted: save it without a password")
    pages = reader.pages
    return [
        Section(whole_words(_readable(page.extract_text())), {"page": number})
        for number, page in enumerate(pages, start=1)
    ]


def _docx(content: bytes) -> list[Section]:
    from mammoth import convert_to_html

    if is_ole(content):
        raise ConversionError("it is encrypted, or of Word 97: save it as .docx without a password")
    return _html(convert_to_html(BytesIO(for_mammoth(content))).value)


def _html(content: bytes | str) -> list[Section]:
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
    from bs4.element import ProcessingInstruction
    from markdownify import MarkdownConverter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML is meant to be
        soup = BeautifulSoup(content, "html.parser")
    title = soup.title.get_text(strip=True) if soup.title else ""
    for tag in soup.find_all([*_INVISIBLE, "title"]):
        tag.decompose()
    for node in soup.find_all(string=lambda text: isinstance(text, ProcessingInstruction)):
        node.extract()  # such as XHTML's first line
    for picture in soup.find_all("img"):
        picture.replace_with(str(picture.get("alt") or ""))
    for link in soup.select('a[href^="#"]'):
        if link.get_text(strip=True) in _PERMALINKS:
            link.decompose()
    converter = MarkdownConverter(
        heading_style="ATX", strip=["a"], escape_underscores=False, escape_asterisks=False
    )
    return markdown_sections(_readable(converter.convert_soup(soup)), title or None)


def _readable(text: str) -> str:
    """Return the text without what no document can hold: NUL and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


_CONVERTERS: dict[str, Callable[[bytes], list[Section]]] = {
    ".pdf": _pdf,
    ".docx": _docx,
    ".html": _html,
    ".htm": _html,
}
_WEB = ("bs4", "markdownify")
_NEEDED = {".pdf": ("pypdf",), ".docx": ("mammoth", *_WEB), ".html": _WEB, ".htm": _WEB}
CONVERTED = tuple(_CONVERTERS)
