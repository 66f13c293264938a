"""Files of office and web programs: sections with a page, a heading or a row; nothing is lost."""

from __future__ import annotations

import io
import zipfile

import pytest

from llm2vec_gen_rag.errors import MissingExtraError
from llm2vec_gen_rag.qdrant.reading import converted
from llm2vec_gen_rag.qdrant.reading.converted import ConversionError
from llm2vec_gen_rag.qdrant.reading.found_files import find_files
from llm2vec_gen_rag.qdrant.reading.sections import csv_sections, markdown_sections, rst_sections
from llm2vec_gen_rag.qdrant.reading.text_files import read_documents
from llm2vec_gen_rag.qdrant.reading.typesetting import whole_words

RST = """\
Above.

=====
Bears
=====
Polar
-----

They live on ice.

No title: a table follows
== ==

Brown
~~~~~

They live in woods.
"""


def pdf(*pages: str) -> bytes:
    """A PDF with one line on each page; an empty page has no text."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    box, fonts = "/MediaBox [0 0 612 792]", "/Resources << /Font << /F1 3 0 R >> >>"
    for number, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R {box} /Contents {5 + 2 * number} 0 R {fonts} >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        ]
    written, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer << /Size {size} /Root 1 0 R >>\n"
    return written + f"{end}startxref\n{len(written)}\n%%EOF\n".encode()


def docx(*paragraphs: tuple[str, str], more_styles: str = "") -> bytes:
    """A DOCX of paragraphs, each with its style."""
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{n}">'
        f'<w:name w:val="heading {n}"/></w:style>'
        for n in (1, 2)
    )
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kinds = "http://schemas.openxmlformats.org/package/2006/content-types"
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{kinds}">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
        'relationships+xml"/><Override PartName="/word/document.xml" '
        f'ContentType="{main}.document.main+xml"/><Override PartName="/word/styles.xml" '
        f'ContentType="{main}.styles+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{relations}"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{relations}"><Relationship '
        f'Id="r1" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "word/document.xml": f"<w:document {w}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": f"<w:styles {w}>{styles}{more_styles}</w:styles>",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def documents_of(folder, leave_out=None):
    found = find_files(folder)
    root = folder if folder.is_dir() else folder.parent
    return [document for _, document in read_documents(found.files, root, leave_out=leave_out)]


def places_of(folder, name):
    """Each document's text and where it is in its file."""
    own = {"file", "passage"}
    documents = documents_of(folder)
    assert [d.id for d in documents] == [f"{name}#{n}" for n in range(1, len(documents) + 1)]
    return [(d.text, {k: v for k, v in d.metadata.items() if k not in own}) for d in documents]


def test_a_pdf_is_read_by_page_and_pages_without_text_are_named(tmp_path, caplog):
    pytest.importorskip("pypdf")
    (tmp_path / "a.pdf").write_bytes(pdf("The yen is money.", "", "A cat sleeps."))
    assert places_of(tmp_path, "a.pdf") == [
        ("The yen is money.", {"page": 1}),
        ("A cat sleeps.", {"page": 3}),
    ]
    assert "a.pdf: no text on pages [2]" in caplog.text


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_an_encrypted_pdf_is_read_if_it_opens_without_a_password(tmp_path, algorithm):
    pypdf = pytest.importorskip("pypdf")

    def write(name, password):
        written = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("The yen is money.")))
        written.encrypt(password, "owner", algorithm=algorithm)
        written.write(tmp_path / name)

    write("open.pdf", "")
    assert places_of(tmp_path, "open.pdf") == [("The yen is money.", {"page": 1})]
    write("closed.pdf", "secret")
    with pytest.raises(ConversionError, match="it is encrypted: save it without a password"):
        documents_of(tmp_path / "closed.pdf")


def test_html_is_read_by_heading_without_scripts_and_addresses(tmp_path):
    pytest.importorskip("markdownify")
    (tmp_path / "a.HTML").write_text(
        "<html><head><title>Notes</title><style>p{}</style></head><body><p>Above snake_case*"
        "<script>alert(1)</script></p><h1>Bears</h1><h2>Polar</h2><p>They live on "
        '<a href="https://ice.example">ice</a>.</p><pre># no heading</pre>'
        '<img src="data:image/png;base64,AAAA" alt="A bear"></body></html>'
    )
    (above, in_notes), (polar, in_polar) = places_of(tmp_path, "a.HTML")
    assert (above, in_notes) == ("Above snake_case*", {"heading": "Notes"})
    assert in_polar == {"heading": "Polar"}
    assert polar.startswith("# Bears\n\n## Polar\n\nThey live on ice.")
    assert "# no heading" in polar
    assert polar.endswith("A bear")


def test_docx_is_read_by_heading(tmp_path):
    pytest.importorskip("mammoth")
    written = docx(
        ("Heading1", "Bears"), ("Normal", "On ice."), ("Heading2", "Brown"), ("", "Woods.")
    )
    (tmp_path / "a.docx").write_bytes(written)
    assert places_of(tmp_path, "a.docx") == [
        ("# Bears\n\nOn ice.", {"heading": "Bears"}),
        ("## Brown\n\nWoods.", {"heading": "Brown"}),
    ]


def test_words_of_a_pdf_have_no_ligatures_and_are_not_hyphenated(tmp_path):
    pytest.importorskip("pypdf")
    (tmp_path / "a.pdf").write_bytes(pdf("abso-) Tj 0 -14 Td (lute, --dry-) Tj 0 -14 Td (run"))
    assert places_of(tmp_path, "a.pdf") == [("absolute, --dry-\nrun", {"page": 1})]
    assert whole_words("\ufb01le, e\ufb03cient, Saint-\nDenis") == "file, efficient, Saint-\nDenis"


def test_a_sign_that_links_to_its_heading_is_not_of_the_heading(tmp_path):
    pytest.importorskip("markdownify")
    permalink = '<a class="headerlink" href="#bears" title="Link to this heading">\uf0c1</a>'
    xhtml = f'<?xml version="1.0"?>\n<h1><em>Bears</em>{permalink}</h1><p>C# and \u00a7 2.</p>'
    (tmp_path / "a.html").write_text(xhtml, encoding="utf-8")
    assert places_of(tmp_path, "a.html") == [
        ("# *Bears*\n\nC# and \u00a7 2.", {"heading": "Bears"})
    ]


def test_a_docx_keeps_its_characters_its_fields_and_styles_that_say_little(tmp_path):
    pytest.importorskip("mammoth")
    field = '<w:fldSimple w:instr=" SEQ x &gt; "><w:r><w:t>1</w:t></w:r></w:fldSimple>'
    figure = f"Figure </w:t></w:r>{field}<w:r><w:t>: 世界 costs €10."
    written = docx(("Heading1", "Bears"), ("", figure), more_styles="<w:style/>")
    (tmp_path / "a.docx").write_bytes(written)
    ((text, place),) = places_of(tmp_path, "a.docx")
    assert text.split() == ["#", "Bears", "Figure", "1:", "世界", "costs", "€10."]
    assert place == {"heading": "Bears"}


def test_rst_is_cut_at_its_titles_and_no_character_of_it_is_lost():
    sections = rst_sections(RST)
    assert [section.metadata.get("heading") for section in sections] == [None, "Polar", "Brown"]
    assert "".join(section.text for section in sections) == RST


def test_markdown_is_cut_at_its_headings_and_not_in_code():
    text = "# A\n\n## B\none\n```\n# no\n```\n# C\n"
    sections = markdown_sections(text, "title")
    assert [section.metadata["heading"] for section in sections] == ["B", "C"]
    assert "".join(section.text for section in sections) == text


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("name,born\nAda,1815\n\nAlan,\n", [("name: Ada\nborn: 1815", 1), ("name: Alan", 3)]),
        ('a;b\n"x;\n""y""\u2028z";2,5\n', [('a: x;\n"y"\u2028z\nb: 2,5', 1)]),
        ("a,b\n1,2,3\n", [("a: 1\nb: 2\n3", 1)]),
        ("a\tb\n1\t2\n", [("a: 1\nb: 2", 1)]),
        ('a, b\n1, "2, ""3"""\n', [('a: 1\nb: 2, "3"', 1)]),
        ('"a; b; c",d\n1,2\n', [("a; b; c: 1\nd: 2", 1)]),
        ("only one\n", [("only one", 1)]),
        ("name;size\nx;1,5\ny;2,5\n", [("name: x\nsize: 1,5", 1), ("name: y\nsize: 2,5", 2)]),
        ("quote\nHello\nTo be, or not\n", [("quote: Hello", 1), ("quote: To be, or not", 2)]),
        ("id,text\n1,a,b\n2,a,b,c\n", [("id: 1\ntext: a\nb", 1), ("id: 2\ntext: a\nb\nc", 2)]),
        ("", []),
    ],
)
def test_a_table_is_read_by_row_with_the_names_of_its_columns(table, rows):
    assert [(section.text, section.metadata["row"]) for section in csv_sections(table)] == rows


@pytest.mark.parametrize("note", ["# Source: a book", "Members, January 2024"])
def test_notes_above_a_table_are_not_the_names_of_its_columns(note):
    notes, ada = csv_sections(f"{note}\n\nname;born\nAda;1815\n")
    assert (notes.text.strip(), notes.metadata) == (note, {})
    assert (ada.text, ada.metadata) == ("name: Ada\nborn: 1815", {"row": 1})


def test_a_first_line_longer_than_what_is_read_for_the_delimiter_is_cut_by_it():
    names = [f"column number {number}" for number in range(1_000)]
    (row,) = csv_sections(";".join(names) + "\n" + ";".join("x" for _ in names) + "\n")
    assert row.text.splitlines() == [f"{name}: x" for name in names]


def test_a_quote_far_below_the_first_rows_does_not_cut_its_cell():
    table = "who,what\n" + 'Ada,"a, b"\n' * 1000 + 'Alan,"he said ""yes, no"""\n'
    assert csv_sections(table)[-1].text == 'who: Alan\nwhat: he said "yes, no"'


def test_what_has_no_text_or_is_damaged_is_left_out_by_name_and_the_rest_is_read(tmp_path):
    pytest.importorskip("pypdf")
    pytest.importorskip("mammoth")
    (tmp_path / "scan.pdf").write_bytes(pdf("", ""))
    (tmp_path / "broken.pdf").write_bytes(pdf("text")[:40])
    (tmp_path / "broken.docx").write_bytes(b"no archive")
    (tmp_path / "locked.docx").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504))
    (tmp_path / "empty.html").write_text("<p> </p>")
    (tmp_path / "notes.md").write_text("A cat sleeps.")
    left_out = []
    assert [d.text for d in documents_of(tmp_path, left_out.append)] == ["A cat sleeps."]
    reasons = {left.path.name: left.reason for left in left_out}
    assert reasons["scan.pdf"].startswith("it holds no text: if it is a scan, recognise its text")
    assert reasons["empty.html"] == "it holds no text"
    assert reasons["broken.pdf"].startswith("it cannot be converted to text (")
    assert reasons["broken.docx"].startswith("it cannot be converted to text (BadZipFile")
    assert reasons["locked.docx"].startswith("it is encrypted, or of Word 97: save it as .docx")
    with pytest.raises(ConversionError, match=r"scan\.pdf is left out, as it holds no text"):
        documents_of(tmp_path / "scan.pdf")


def test_without_the_extra_such_files_are_named_and_the_rest_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(converted, "find_spec", lambda name: None)
    (tmp_path / "a.pdf").write_bytes(pdf("text"))
    (tmp_path / "notes.rst").write_text("A cat sleeps.")
    found = find_files(tmp_path)
    assert [path.name for path in found.files] == ["notes.rst"]
    assert found.unreadable == {
        tmp_path / "a.pdf": "it needs pypdf (pip install 'llm2vec-gen-rag[files]')"
    }
    with pytest.raises(MissingExtraError, match=r"pip install 'llm2vec-gen-rag\[files\]'"):
        find_files(tmp_path / "a.pdf")
