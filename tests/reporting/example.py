"""A hand-written evaluation: two sequences, three objects, numbers that a head can average."""

from typing import Any

NASTY = "<script>alert('x')</script>&[bold]"  # a folder may be called this


def scored_object(j: list[float], f: list[float], **more: Any) -> dict[str, Any]:
    """An object of scores.json; its means are the plain means of the given lists."""
    return {
        "J_mean": sum(j) / len(j),
        "J_recall": 0.5,
        "J_decay": 0.1,
        "F_mean": sum(f) / len(f),
        "F_recall": 0.75,
        "F_decay": -0.05,
        "J": j,
        "F": f,
        **more,
    }


def example_scores() -> dict[str, Any]:
    """bear: J 0.9, F 0.7. The nasty one: object 1 J 0.4, F 0.2; object 2 (late by one frame) J 0.6, F 0.8."""
    return {
        "protocol": "davis",
        "gt": "gt",
        "pred": "pred",
        "overall": {
            "J_mean": 0.6333333,
            "J_recall": 0.5,
            "J_decay": 0.1,
            "F_mean": 0.5666667,
            "F_recall": 0.75,
            "F_decay": -0.05,
            "J&F": 0.6,
        },
        "sequences": {
            "bear": {"frames": ["00001", "00002"], "objects": {"1": scored_object([1.0, 0.8], [0.8, 0.6])}},
            NASTY: {
                "frames": ["00001", "00002", "00003"],
                "objects": {
                    "1": scored_object([0.7, 0.4, 0.1], [0.2, 0.2, 0.2]),
                    "2": scored_object([0.8, 0.4], [0.8, 0.8], frames=["00002", "00003"]),
                },
            },
        },
    }


def overall_only(protocol: str, **overall: float | None) -> dict[str, Any]:
    """Scores of which only the overall numbers matter."""
    return {"protocol": protocol, "overall": overall, "sequences": {}}
