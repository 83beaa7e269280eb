"""`Guidance`: how much of a training clip's annotations the memory is given."""


class Guidance:
    """The first `prompted` frames are prompts. The first `forced` frames are remembered as they are annotated, and from
    iteration `switch` on the first `forced_later` (sequential training: the method lives on its own masks)."""

    def __init__(self, prompted: int, forced: int, forced_later: int, switch: int) -> None:
        if prompted < 1:
            raise ValueError(f"prompted must be at least 1, got {prompted}: without a prompt there is nothing to segment")
        self.prompted, self.forced, self.forced_later, self.switch = prompted, forced, forced_later, switch

    def __call__(self, iteration: int) -> tuple[int, int]:
        """(prompted, forced) for `Method.forward`."""
        return self.prompted, self.forced if iteration < self.switch else self.forced_later
