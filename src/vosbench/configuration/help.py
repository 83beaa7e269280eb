"""What `python -m vosbench --help` says: tasks, methods, data sets, sizes and lines to start from."""

import textwrap

from vosbench.configuration.places import options


def help_text() -> str:
    """The help, with what can be chosen read from the configuration's folders."""
    lists = {
        "task=": [*options("task"), "score"],
        "+method=": options("method"),
        "data=": options("data"),
        "size=": options("size"),
        "trainer=": options("trainer"),
        "logger=": options("logger"),
        "+experiments=": options("experiments"),
    }
    chosen = "\n".join(_row(name, known) for name, known in lists.items() if known)
    return f"""vosbench: train, run and score video object segmentation.

  python -m vosbench +method=stma                                   train on synthetic video: nothing to download
  python -m vosbench +method=stma size=paper data=davis17 data.root=DAVIS trainer=ddp trainer.devices=8
  python -m vosbench +experiments=stma/davis17_full                 one published table row
  python -m vosbench -m +method=stma,nearest seed=1,2,3             a sweep, with a table at its end
  python -m vosbench -m +method=stma,nearest seed=1,2,3 sweep=DIR   the same sweep, what is missing only
  python -m vosbench resume=runs/stma/DATE                          go on with a run
  python -m vosbench task=evaluate +method=stma checkpoint=FILE data=davis17 data.root=DAVIS
  python -m vosbench task=segment +method=stma checkpoint=FILE video=clip.mp4 prompt='{{1: [40,60,180,220]}}'
  python -m vosbench task=score gt=DAVIS/Annotations/480p pred=runs/stma/DATE/masks

{chosen}

Any key of the composed configuration can be changed: method.dim=64 stages.video.steps=500; --cfg job prints it.
Values with =, commas or accents need quotes inside quotes: 'checkpoint="a=1.ckpt"'.
Your own YAML: --config-dir DIR; its classes: --allow-target PREFIX; tracebacks: HYDRA_FULL_ERROR=1; Hydra: --hydra-help.
"""


def _row(name: str, known: list[str]) -> str:
    return textwrap.fill(" ".join(known), width=110, initial_indent=f"  {name:<14} ", subsequent_indent=" " * 17)
