import pytest

from codekiln.errors import ShardError
from codekiln.tokens.sources import CODE, Source
from codekiln.types import Document, Span


def span(language, size):
    return Span(path="p", language=language, start=0, body=0, end=size)


def test_code_is_known_by_its_main_language_and_texts_by_their_location():
    spans = (span("python", 3), span("jsx", 9))
    code = Source.of(Document(id="1", text="", source="github.com/a/b", spans=spans))
    text = Source.of(Document(id="2", text="", source="posts.7z", kind="english"))
    bare = Source.of(Document(id="3", text="", source="github.com/a/b"))
    assert code.names == ("jsx", "javascript", "code") and code.label == "jsx"
    assert text.names == ("posts.7z", "english") and text.label == "english: posts.7z"
    assert bare == CODE and bare.names == ("code",) and bare.label == "code"
    for source in (code, text, bare):
        assert Source.from_json(source.to_json()) == source


@pytest.mark.parametrize("value", ["code", ["code", "python"], ["code", "python", 3], None])
def test_another_form_is_an_error(value):
    with pytest.raises(ShardError, match="pack the tokens again"):
        Source.from_json(value)
