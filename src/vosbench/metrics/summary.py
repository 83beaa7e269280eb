"""From sequences to the data set: the content of scores.json, and break-downs of it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from vosbench.errors import DatasetError
from vosbench.metrics.rule_choice import check_protocol
from vosbench.metrics.sequence_scorer import mean_of_objects
from vosbench.metrics.statistics import mean

GROUPS = ("seen", "unseen")


def summarise(
    protocol: str,
    sequences: Mapping[str, dict[str, Any]],
    *,
    categories: Mapping[str, Mapping[str, str | None]] | None = None,
    categories_seen: Collection[str] | None = None,
    unseen_sequences: Collection[str] | None = None,
    gt: str = "",
    pred: str = "",
) -> dict[str, Any]:
    """The whole scores.json from the results of `SequenceScorer` by sequence. Every object weighs the same.

    YouTube-VOS splits objects into seen and unseen by `categories` (sequence -> object id -> category) and `categories_seen`;
    LVOS splits sequences by `unseen_sequences`. A group without objects has null scores, and so has what is made of it.
    """
    check_protocol(protocol)
    named = dict(sorted(sequences.items()))
    objects = list(_objects(named))
    overall = mean_of_objects([scores for _, _, scores in objects])
    if overall is None:
        raise DatasetError(
            f"Nothing to score: none of the {len(named)} sequence(s) has an object in its scored frames; check gt and protocol."
        )
    if protocol == "ytvos":
        overall |= _youtube_vos(objects, categories or {}, categories_seen or ())
    elif protocol == "lvos":
        overall |= _lvos(objects, unseen_sequences)
    return {
        "protocol": protocol,
        "gt": gt,
        "pred": pred,
        "overall": overall,
        "counts": {
            "sequences": len(named),
            "objects": len(objects),
            "frames": sum(len(item["frames"]) for item in named.values()),
        },
        "stray_labels": sum(len(item["stray_labels"]) for item in named.values()),
        "sequences": named,
    }


Scored = tuple[str, str, dict[str, Any]]  # sequence, object id, the object's scores


def _objects(sequences: Mapping[str, dict[str, Any]]) -> Iterator[Scored]:
    for sequence, result in sequences.items():
        for object_id, scores in result["objects"].items():
            yield sequence, object_id, scores


def _youtube_vos(
    objects: Iterable[Scored], categories: Mapping[str, Mapping[str, str | None]], categories_seen: Collection[str]
) -> dict[str, float | None]:
    """J and F over seen and unseen categories, and G, the mean of the four. An object of unknown category is in neither group.

    Nothing is seen or unseen as long as nobody says what the training set had.
    """
    groups: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    for sequence, object_id, scores in objects:
        category = categories.get(sequence, {}).get(object_id)
        if category is not None and categories_seen:
            groups["seen" if category in categories_seen else "unseen"].append(scores)
    found = {f"{letter}_{group}": _mean(groups[group], f"{letter}_mean") for group in GROUPS for letter in "JF"}
    return {"G": _mean_of_all(found.values()), **found}


def _lvos(objects: Iterable[Scored], unseen_sequences: Collection[str] | None) -> dict[str, float | None]:
    """J, F and V over seen and unseen videos, their means, and J&F, the mean of the four J and F."""
    if unseen_sequences is None:
        return dict.fromkeys([f"{letter}{ending}" for letter in "JFV" for ending in ("_seen", "_unseen", "")])
    groups: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    for sequence, _, scores in objects:
        groups["unseen" if sequence in unseen_sequences else "seen"].append(scores)
    names = {"J": "J_mean", "F": "F_mean", "V": "V"}
    found = {f"{letter}_{group}": _mean(groups[group], name) for group in GROUPS for letter, name in names.items()}
    halves = {letter: _mean_of_all([found[f"{letter}_seen"], found[f"{letter}_unseen"]]) for letter in names}
    four = _mean_of_all([found[f"{letter}_{group}"] for group in GROUPS for letter in "JF"])
    return found | halves | {"J&F": four}


def _mean(objects: list[dict[str, Any]], name: str) -> float | None:
    return mean([scores[name] for scores in objects]) if objects else None


def _mean_of_all(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else mean([value for value in known if value is not None])


def mean_by_attribute(
    scores: Mapping[str, Any], attributes: Mapping[str, Mapping[str, Iterable[str]]]
) -> dict[str, dict[str, float | int]]:
    """J&F over the objects that have an attribute ("small", say), and how many those are, from the content of a scores.json.

    `attributes`: sequence -> object id -> its attributes. An object counts under each of its own.
    """
    found: dict[str, list[float]] = {}
    for sequence, object_id, item in _objects(scores["sequences"]):
        for attribute in attributes.get(sequence, {}).get(object_id, ()):
            found.setdefault(attribute, []).append((item["J_mean"] + item["F_mean"]) / 2)
    return {attribute: {"J&F": mean(values), "objects": len(values)} for attribute, values in sorted(found.items())}
