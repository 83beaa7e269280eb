"""`ObjectTable`: the only place that translates between object ids and channels."""


class ObjectTable:
    """Ids in the order in which they were first prompted; the place in that order is the channel."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def __len__(self) -> int:
        return len(self.ids)

    def register(self, object_id: int) -> int:
        """Channel of an id, a new one if it has none yet."""
        if object_id not in self.ids:
            self.ids.append(object_id)
        return self.ids.index(object_id)
