import pytest

from vosbench.clips.curriculum import Curriculum
from vosbench.errors import ConfigError

XMEM = [[0.0, 5], [0.1, 10], [0.3, 15], [0.9, 5]]


@pytest.mark.parametrize(
    ("step", "max_skip"),
    [(0, 5), (15_999, 5), (16_000, 10), (47_999, 10), (48_000, 15), (143_999, 15), (144_000, 5), (159_999, 5)],
)
def test_the_value_changes_exactly_at_its_part_of_the_stage(step, max_skip):
    assert Curriculum(XMEM).at(step / 160_000) == max_skip


@pytest.mark.parametrize("points", [[], [[0.1, 5]], [[0.0, 5], [0.5, 6], [0.3, 7]], [[0.0, 0]], [[0.0, 2.5]], [[0.0, 5, 6]]])
def test_a_list_that_is_no_curriculum_is_refused_with_its_content(points):
    with pytest.raises(ConfigError, match="max_skip is "):
        Curriculum(points)
