"""Several data sets as one, each as often as its share wants: DAVIS five times and YouTube-VOS once."""

from bisect import bisect_right
from itertools import accumulate
from typing import Any

from vosbench.errors import ConfigError


class Mixture:
    """Video sets or still sets one after the other, each repeated `repeats` times.

    What a video set says of itself must be the same in all parts, except for the categories, which are united.
    """

    def __init__(self, datasets: list[Any], repeats: list[int]) -> None:
        if not datasets or len(datasets) != len(repeats):
            raise ConfigError(f"repeats: expected one number for each of the {len(datasets)} data sets, found {len(repeats)}.")
        if min(repeats) < 1:
            raise ConfigError(f"repeats: expected numbers from 1 on, found {repeats}; leave a data set out of the list instead.")
        self.datasets, self.repeats = datasets, repeats
        self.name = "+".join(dataset.name for dataset in datasets)
        self._ends = list(accumulate(len(dataset) * repeat for dataset, repeat in zip(datasets, repeats, strict=True)))

    @property
    def protocol(self) -> str:
        """How all parts are scored."""
        return self._common("protocol")

    @property
    def annotation_step(self) -> int:
        """Frames between two annotated ones, if it is the same in all parts; else ask for `annotation_step_of` an item."""
        return self._common("annotation_step")

    def annotation_step_of(self, index: int) -> int:
        """Frames between two annotated ones in the part that gives this item."""
        return self.datasets[self._part(index)].annotation_step

    @property
    def categories_seen(self) -> frozenset[str]:
        """Categories that training may have met, of all parts."""
        return frozenset().union(*(dataset.categories_seen for dataset in self.datasets))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Any:
        part = self._part(index)
        start = self._ends[part - 1] if part else 0
        return self.datasets[part][(index - start) % len(self.datasets[part])]

    def _part(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return bisect_right(self._ends, index)

    def _common(self, what: str) -> Any:
        values = {dataset.name: getattr(dataset, what) for dataset in self.datasets}
        if len(set(values.values())) > 1:
            raise ConfigError(
                f"datasets: {what} differs, {', '.join(f'{name} has {value}' for name, value in values.items())}; "
                "mix clips of these sets (vosbench.clips) instead of the sets."
            )
        return next(iter(values.values()))
