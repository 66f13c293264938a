"""Hashes of what decides the ids of a text: two tokenizers with equal ones read texts alike.

One file becomes different components in different versions of transformers (4 lets a normalizer put
a space before Llama's texts, 5 a pre-tokenizer), and a collection may move between the two. So
three things are hashed: the vocabulary with its merges, which every version keeps; the ids of texts
that normalizers, pre-tokenizers and post-processors treat differently; and, under the versions of
the libraries, the components, for a change that none of these texts shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import product

import tokenizers
import transformers

from llm2vec_gen_rag.text_tokenizer import TextTokenizer

# one of each kind of character that pre-tokenizers tell apart; any three of them meet in a text
_KINDS = ("a", "B", "7", " ", "\n", "\t", "'", "s", ".", "-", "_", "é", "京", "я")
_TEXTS = (
    "",
    " ",
    "  two  spaces   and more    ",
    "\n\n \n\t\t x\r\ny\rz\u00a0nbsp\u2003em\u3000wide\u200bzero\u2028line\x00\x07\x1b\x7f",
    "I'll don't WE'RE it's o'clock 'tis y’all l'été",
    "HelloWORLDFoo camelCase snake_case kebab-case SHOUT",
    "1 12 123 1234 12345 1234567890 3.14 1,000 1e-5 0x1F 10% $5 №7 ²³ ½ Ⅳ ٣ ३",
    '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~ ... --- ?! :-) <b> </s> [UNK] [CLS] <unk> ▁ Ġ ## @@',
    "café cafe\u0301 Å A\u030a Å ñ n\u0303 ẛ̣ İ ı ß ẞ ǆ ς Σ σ",
    "ﬁ ﬀ Ａ１ ｶﾞ ㍿ ㎏ ① ℃ ™ … “curly” ‘single’ «guillemets» – — ‐ −",
    "Größe naïve Ελληνικά Русский Українська Հայերեն ქართული",
    "עִבְרִית العَرَبِيَّة فارسی हिन्दी বাংলা தமிழ் ไทย ລາວ မြန်မာ ខ្មែរ አማርኛ",
    "中文汉字漢字、。日本語ひらがなカタカナ 한국어 한글 ㄱㄴ Tiếng Việt",
    "😀 👍🏽 👨‍👩‍👧 🇯🇵 ❤️ ♥ ∑ ≠ → ∞ € £ ¥ 𝐀 𝒜 𠀀",
    "def f(x):\n    return {'k': [1, 2.0]}  # comment\n\n\tif a != b && c || !d: pass;",
    "https://example.org/a?b=c&d=%20#e me@example.org C:\\x\\y /usr/bin 2024-02-29T12:00Z",
    "supercalifragilisticexpialidocious " + "a" * 120 + " " + "na" * 40 + " " + "=" * 70,
)


def tokenizer_hashes(tokenizer: TextTokenizer) -> dict[str, str]:
    """Return hashes by what was hashed; two tokenizers that differ in a common one read otherwise.

    Args:
        tokenizer: what reads users' texts.

    Returns:
        Hashes of the vocabulary, of the ids of many texts, and, by the versions of the libraries,
        of the components.
    """
    components = tokenizer.components()
    settings, _, vocabulary = components["model"].partition(b'"vocab":')
    ids = tokenizer.token_ids(_probes(tokenizer.added_texts()))
    rows = (str(row.tolist()).encode() for row in ids)
    versions = f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}"
    pipeline = (settings, components["normalizer"], components["pre_tokenizer"])
    return {"vocabulary": _hash([vocabulary]), "ids": _hash(rows), versions: _hash(pipeline)}


def _probes(added: Iterable[str]) -> list[str]:
    """Return the texts, and each added token that is text among others."""
    meetings = ("".join(first + b + c for b, c in product(_KINDS, _KINDS)) for first in _KINDS)
    around = (f"{token} a{token}b {token}{token} {token.swapcase()}" for token in added)
    return [*_TEXTS, *meetings, *around]


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
