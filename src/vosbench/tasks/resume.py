"""Go on with a run from its folder: its frozen configuration, changed only where a change cannot move a weight."""

import time
from pathlib import Path
from typing import Any

from vosbench.configuration.comparison import Change, changed, changes
from vosbench.configuration.freezing import freeze_line
from vosbench.configuration.overrides import CommandLine, Override
from vosbench.errors import ConfigError
from vosbench.tasks.run_folder import (
    ENVIRONMENT,
    Status,
    environment,
    read_config,
    read_json,
    write_config,
    write_json,
    write_status,
)


def resumed(line: CommandLine) -> tuple[Path, dict[str, Any]]:
    """The run folder of ``resume=<folder>`` and the configuration to run in it, written there.

    ConfigError with the differences when the command line asks for something else than the run was: the optimiser's and
    the schedule's state would silently keep, or half keep, the old values.
    """
    run_dir = Path(line.value("resume") or "").expanduser().absolute()
    frozen, command = read_config(run_dir), line.without("resume")
    differences = _asked(command, frozen, read_json(run_dir / ENVIRONMENT) or {})
    refused = [change for change in differences if not change.allowed]
    if refused:
        listed = "\n".join(map(str, refused))
        raise ConfigError(
            f"{run_dir} was run with another configuration; leave these keys as they were, or start a new run.\n{listed}"
        )
    config = changed(frozen, [change for change in differences if change.place not in ("resume", "out")])
    config |= {"resume": str(run_dir), "out": str(run_dir)}
    write_config(run_dir, config)
    _record(run_dir, command)
    return run_dir, config


def _asked(command: CommandLine, frozen: dict[str, Any], first: dict[str, Any]) -> list[Change]:
    """What the command line changes. With a method or an experiment on it, it describes the whole run; without, only the
    difference to the run's own command."""
    if not command.overrides:
        return []
    if command.chooses("method") or command.chooses("experiments"):
        return changes(frozen, freeze_line(command)[0])
    if "overrides" not in first:
        raise ConfigError(f"The run folder has no {ENVIRONMENT}, so its command is unknown; give resume= and nothing else.")
    given = {item.key for item in command.overrides}
    # A relative path of the first command may stand elsewhere now; the frozen configuration has it, and it cancels here.
    then = [Override.parse(text) for text in first["overrides"]]
    flags = command.flags or list(first.get("flags", []))
    base, _ = freeze_line(CommandLine(flags, then))
    now, _ = freeze_line(CommandLine(flags, [item for item in then if item.key not in given] + command.overrides))
    return changes(base, now)


def _record(run_dir: Path, command: CommandLine) -> None:
    """Queue the job again, and add this start to environment.json."""
    now, first = environment(command.texts, command.flags), read_json(run_dir / ENVIRONMENT)
    history = (first or now) | {"resumed": [*(first or {}).get("resumed", []), {"time": time.time(), **now}]}
    write_json(run_dir / ENVIRONMENT, history)
    write_status(run_dir, Status("queued", created=time.time()))
