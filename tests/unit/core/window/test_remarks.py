import msgpack
import pytest

from sisock.core.model import DataRequest
from sisock.core.window.remarks import LONGEST_REMARK, MOST_REMARKS, Remarks
from sisock.core.wire.spans import decode_reductions, decode_remarks, encode_reductions

REQUEST = DataRequest(("a", "b"), 1.0, 9.0, 1.0, "minmax", spans=((1.0, 9.0),))


def sent(remarks):
    return msgpack.unpackb(msgpack.packb(encode_reductions([None, None], REQUEST, remarks)))


def test_a_text_is_told_once_of_each_field():
    """A text noted twice is told once, of each field that it is about, in the order in which texts were noted."""
    remarks = Remarks()
    remarks.note(["a", "b"], "first")
    remarks.note(["a"], "second")
    remarks.note(["a"], "first")
    assert decode_remarks(sent(remarks.by_field()), REQUEST) == {"a": ("first", "second"), "b": ("first",)}


def test_no_more_is_told_than_a_reader_takes():
    """Texts are few and short, however many a node notes."""
    remarks = Remarks()
    for number in range(100):
        remarks.note(["a"], f"{number} " * 1000)
    (texts,) = remarks.by_field().values()
    assert (len(texts), len(texts[0])) == (MOST_REMARKS, LONGEST_REMARK)


def test_a_reply_with_nothing_to_tell_has_no_key_for_it():
    """What is told costs nothing where there is nothing to tell."""
    assert "remarks" not in sent(Remarks().by_field())


def test_a_reader_that_knows_of_no_remarks_reads_the_rest():
    """The reductions of a reply are read whatever is told beside them."""
    assert decode_reductions(sent({"a": ["text"]}), REQUEST) == {}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param("a", {}, id="no dictionary"),
        pytest.param({"a": "text"}, {}, id="no list"),
        pytest.param({"a": [1, None, "", "x", ["y"], "x"]}, {"a": ("x",)}, id="what is no text"),
        pytest.param({"other": ["x"]}, {}, id="not asked for"),
        pytest.param({"a": ["x" * 5000] * 50 + ["y"]}, {"a": ("x" * LONGEST_REMARK,)}, id="too much"),
    ],
)
def test_what_cannot_be_told_is_passed_over(given, read):
    """Whatever a node sends in place of texts costs only itself."""
    assert decode_remarks({"remarks": given}, REQUEST) == read
