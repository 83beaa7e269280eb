"""Files of boxes: both forms say the same, and what cannot be meant is refused with its place."""

import json

import pytest

from vosbench.errors import PromptError
from vosbench.video.box_file import read_boxes

NAMES = ["00000", "00005", "00010", "00015"]
EXPECTED = {0: {1: (4.0, 6.0, 20.5, 18.0)}, 2: {1: (5.0, 6.0, 21.0, 18.0), 7: (30.0, 2.0, 40.0, 12.0)}}

JSON = json.dumps(
    [
        {"frame": "00010", "object": 7, "box": [30, 2, 40, 12]},
        {"frame": 2, "object": 1, "box": [5, 6, 21, 18]},
        {"frame": 0, "object": "1", "box": [4, 6, 20.5, 18]},
    ]
)
CSV = "frame,object,x0,y0,x1,y1\n0, 1, 4, 6, 20.5, 18\n\n00010,1,5,6,21,18\n2,7,30,2,40,12\n"
CSV_IN_ONE_CELL = '\ufeffFrame,Object,box\n00000,1,"[4, 6, 20.5, 18]"\n2,1,5 6 21 18\n2,7,"(30, 2, 40, 12)"\n'


@pytest.mark.parametrize(("suffix", "text"), [("json", JSON), ("csv", CSV), ("CSV", CSV_IN_ONE_CELL)])
def test_frames_are_named_or_numbered_and_boxes_come_by_frame_and_object(tmp_path, suffix, text):
    path = tmp_path / f"boxes.{suffix}"
    path.write_text(text, encoding="utf-8")
    assert read_boxes(path, NAMES) == EXPECTED


def test_the_name_of_a_frame_comes_before_its_number(tmp_path):
    (tmp_path / "boxes.csv").write_text("frame,object,box\n5,1,1 2 3 4\n")
    assert list(read_boxes(tmp_path / "boxes.csv", ["3", "4", "5", "6", "7", "8"])) == [2]


@pytest.mark.parametrize(("suffix", "text", "sentence"), [
    ("json", "{", "is not valid JSON"),
    ("json", '{"frame": 0}', "holds no list"),
    ("json", "[]", "holds no box"),
    ("json", '[{"frame": 0, "object": 1}]', "entry 1: has no 'box'"),
    ("json", "[3]", "entry 1: has no 'frame'"),
    ("json", '[{"frame": 4, "object": 1, "box": [1, 2, 3, 4]}]', "no frame '4'; give one of its 4 names .'00000' is the first"),
    ("json", '[{"frame": 1.0, "object": 1, "box": [1, 2, 3, 4]}]', "no frame '1.0'"),
    ("json", '[{"frame": -1, "object": 1, "box": [1, 2, 3, 4]}]', "no frame '-1'"),
    ("json", '[{"frame": 0, "object": 0, "box": [1, 2, 3, 4]}]', "'0' is no object id"),
    ("json", '[{"frame": 0, "object": 1, "box": [1, 2, 3]}]', "four numbers"),
    ("json", '[{"frame": 0, "object": 1, "box": [1, 2, 3, NaN]}]', "four numbers"),
    ("csv", "", "first line is frame,object,x0,y0,x1,y1"),
    ("csv", "0,1,1,2,3,4\n", "begins with '0,1,1,2,3,4'"),
    ("csv", "frame,object,box\n0,1,1 2 3\n", "line 2: the box of object 1"),
    ("csv", "frame,object,box\n0\n", "line 2: '' is no object id"),
    ("csv", "frame,object,box\n0,1,1 2 3 4\n0,1,1 2 3 5\n", "line 3: object 1 has a second box in frame '0'"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, suffix, text, sentence):
    path = tmp_path / f"boxes.{suffix}"
    path.write_text(text)
    with pytest.raises(PromptError, match=sentence) as caught:
        read_boxes(path, NAMES)
    assert str(path) in str(caught.value)
