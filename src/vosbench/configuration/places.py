"""Where the configuration lies, and what can be chosen from it. Nothing is composed here, so this answers at once."""

import difflib
from collections.abc import Iterable
from pathlib import Path

PLUS_GROUPS = ("method", "experiments")  # not in the root's defaults list: chosen with a plus sign


def conf_folder() -> Path:
    """`conf/` of the installed package, or of the checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parents[1] / "conf"


def experiments_folder() -> Path:
    """`experiments/`, the group of published results; it lies beside `conf/`."""
    return conf_folder().parent / "experiments"


def groups() -> list[str]:
    """Groups that the command line may choose from, `experiments` included."""
    return sorted([path.name for path in conf_folder().iterdir() if path.is_dir()] + ["experiments"])


def options(group: str) -> list[str]:
    """What can be chosen from a group: `options("method")` lists the methods, `options("experiments")` stma/full and so on."""
    if group == "experiments":
        folder = experiments_folder()
        return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def near(word: str, known: Iterable[str]) -> str | None:
    """The known word that is probably meant, if one is near enough."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.65)
    return found[0] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown word: ``did you mean 'width'? (known: depth, width)``."""
    words = list(known)
    if not words:
        return "there are none."
    meant = near(word, words)
    return f"did you mean '{meant}'? (known: {', '.join(words)})" if meant else f"known are {', '.join(words)}."
