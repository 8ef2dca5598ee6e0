"""Model card: what an exported model is, how well it does, whether its heat may be believed, and its limits."""

from collections.abc import Mapping
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from respcam.data.splits import VALIDATION

MARKS = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|#"})


def _as_text(value: Any) -> str:
    """Write any value as text of one line, with no sign that Markdown or HTML would read."""
    return " ".join(str(value).split()).translate(MARKS)


class _Raw(str):
    """Text that is Markdown already."""


ENVIRONMENT = Environment(
    loader=PackageLoader("respcam.report", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=lambda value: _as_text(value) if isinstance(value, str) and not isinstance(value, _Raw) else value,
    autoescape=False,
)


def model_card(
    name: str,
    description: Mapping[str, Any],
    metrics: Mapping[str, Any],
    trust: Mapping[str, Any],
    trained_on: Mapping[str, Any],
    checks: Mapping[str, float],
) -> str:
    """Write a model card in Markdown, with the metadata of Hugging Face at its top.

    Parameters
    ----------
    name : str
        Name of the run.
    description : mapping
        Description of the run.
    metrics, trust : mapping
        By part: metrics with their intervals; verdicts and warnings.
    trained_on : mapping
        Range of the training recordings.
    checks : mapping
        Largest difference from the pipeline: ``score, profile``.
    """
    tested = {part: values for part, values in metrics.items() if part != VALIDATION}
    results = [
        {
            "task": {"type": "audio-classification"},
            "dataset": {"name": f"{description['dataset']}, {part}", "type": str(description["dataset"])},
            "metrics": [{"type": "roc_auc", "value": round(values["auroc"]["value"], 4)}],
        }
        for part, values in tested.items()
        if values["auroc"]["value"] is not None
    ]
    head = {
        "library_name": "respcam",
        "pipeline_tag": "audio-classification",
        "tags": ["respiratory-sounds", "lung-sounds", "explainability", "onnx"],
        "metrics": ["roc_auc"],
        "model-index": [{"name": name, "results": results}],
    }
    return ENVIRONMENT.get_template("card.md").render(
        head=_Raw(yaml.safe_dump(head, sort_keys=False, allow_unicode=True)),
        name=name,
        description=description,
        tested=tested,
        trust=trust,
        trained_on=trained_on,
        classes=next(iter(metrics.values()))["confusion"]["classes"],
        checks=checks,
    )
