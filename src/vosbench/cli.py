"""The command line's entrance: help, `task=score`, errors in one sentence; all else goes to `tasks.front_end`.

Nothing heavy is imported here, so that help and scoring, which need neither Hydra nor torch, do not pay for them.
"""

import os
import sys
from collections.abc import Sequence

from vosbench.errors import ConfigError, VosbenchError

HELP = {"-h", "--help", "help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; the exit code is 0, 1 for a failed job or a defect, 2 for what the user can mend."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not arguments or HELP & set(arguments):
            from vosbench.configuration.help import help_text

            sys.stdout.write(help_text())
            return 0
        if "task=score" in arguments:
            return _score([text for text in arguments if text != "task=score"])
        from vosbench.tasks.front_end import run_command

        return run_command(arguments)
    except VosbenchError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130


def _score(pairs: list[str]) -> int:
    """`task=score` reads its `key=value` pairs itself: values may hold anything, and the process stays small."""
    for text in pairs:
        if text.startswith(("-", "+", "~")) or "=" not in text:
            raise ConfigError(f"task=score takes key=value only, but '{text}' is not; --help shows an example.")
    from vosbench.tasks.score import main as score

    return score(pairs)
