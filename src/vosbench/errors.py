"""What a user can cause, as exceptions: each message is one sentence that names the place, the finding and the remedy.

The command line prints the message and exits with status 2; anything else is a defect of ours and shows its traceback.
"""


class VosbenchError(Exception):
    """Something the user can mend."""


class ConfigError(VosbenchError):
    """A key, value or combination of the configuration that cannot work."""


class DatasetError(VosbenchError):
    """A file of a data set that is missing, unreadable or not what its place promises."""


class PromptError(VosbenchError):
    """A mask or box that was given for an object and cannot be used."""


class CheckpointError(VosbenchError):
    """A checkpoint that cannot be read or does not belong to this network."""


class RunError(VosbenchError):
    """A run folder that cannot be used, or a training that cannot go on."""
