from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.tokenizer.stream import StreamDecoder


@given(data=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_pieces_join_to_the_text(trained, data):
    ids = trained.encode_bytes(data)
    decoder = StreamDecoder(trained)
    pieces = [decoder.push(i) for i in ids] + [decoder.flush()]
    assert "".join(pieces) == trained.decode(ids)


def test_a_character_comes_whole(trained):
    ids = trained.encode_bytes("中".encode()[:1]) + trained.encode_bytes("中".encode()[1:])
    assert len(ids) == 3
    decoder = StreamDecoder(trained)
    assert [decoder.push(i) for i in ids] == ["", "", "中"]


def test_control_tokens_give_nothing(trained):
    decoder = StreamDecoder(trained)
    assert decoder.push(trained.special.bos) == decoder.push(trained.special.eot) == ""


def test_half_a_character_at_the_end_shows_as_such(trained):
    decoder = StreamDecoder(trained)
    assert [decoder.push(i) for i in trained.encode_bytes("é".encode()[:1])] == [""]
    assert decoder.flush() == "\ufffd"
