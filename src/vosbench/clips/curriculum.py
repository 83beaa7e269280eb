"""Values that change in steps over a stage of training."""

from bisect import bisect_right

from vosbench.errors import ConfigError


class Curriculum:
    """Piecewise constant: ``[[0.0, 5], [0.1, 10]]`` is 5 in the first tenth of the stage and 10 from there on."""

    def __init__(self, points: list[list[int | float]]) -> None:
        starts = [point[0] for point in points]
        if not points or any(len(point) != 2 for point in points) or starts[0] != 0 or starts != sorted(set(starts)):
            raise ConfigError(
                f"max_skip is {points}, which is no curriculum; give [[start, frames], ...] with ascending starts, "
                "parts of the stage, the first of them 0."
            )
        if any(value < 1 or value != int(value) for _, value in points):
            raise ConfigError(
                f"max_skip is {points} but a distance between frames is a whole number of at least 1; change the values."
            )
        self.starts = [float(start) for start in starts]
        self.values = [int(value) for _, value in points]

    def at(self, progress: float) -> int:
        """The value once `progress` (0 to 1) of the stage is done."""
        return self.values[bisect_right(self.starts, progress) - 1]
