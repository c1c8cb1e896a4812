"""Images are prepared as the model expects them.

What it asks
------------
Are size, crop, interpolation, mean and standard deviation the ones that the model's own
configuration names?

Why it matters
--------------
A model that was trained on other numbers than it is fed loses points without a word of warning.
EfficientNets trained with AdvProp, for one, want a mean and standard deviation of 0.5, and their
twins of the same architecture ImageNet's.

How it decides
--------------
The preprocessing that the audit used is compared, field by field, with what the checkpoint's
training arguments say, else with timm's ``pretrained_cfg`` of the model; the size and crop that it
recommends for testing are as good, unless training departed from it. A field that departs because
``[candidate]`` says so fails. Where training departed from the model's own, that is shown and not
judged: the weights were trained with it. Nothing is estimated, so there is no interval.

How to fix
----------
Remove ``input_size``, ``mean``, ``std``, ``interpolation`` and ``crop_pct`` from ``[candidate]``,
or set them to what the weights were trained with. Deploy with the same.

Limits
------
The configuration is that of the architecture and its published weights. Where the checkpoint was
trained otherwise and does not say so, it is the configuration that is wrong. A module of your own
that names none, and predictions that were saved elsewhere, cannot be looked at. Grey pictures of
more than 8 bits are shown to the model as the loaders of timm and torchvision show them, cut off at
255; whether training scaled them is not known. The notes on the candidate say how many there are.

References
----------
Xie et al., Adversarial Examples Improve Image Recognition, CVPR 2020 (AdvProp); timm,
``resolve_data_config``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from auditor.check import Check, Finding, Outcome, Status
from auditor.wording import setting

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions


class Preprocessing(Check):
    """Is the preprocessing the model's own?"""

    id = "preprocessing"
    title = "Images are prepared as the model expects them"
    version = 2
    level = "advise"

    def run(self, test: Predictions) -> Outcome:
        """Compare the preprocessing used with the model's own configuration."""
        told = test.about.get("preprocessing")
        if told is None or told["own"] is None:
            return Outcome(status=Status.SKIP, summary=_why_not(test.about))
        found = list(_departures(told))
        judged = [finding for finding in found if finding.status is Status.FAIL]
        overall = Finding.fact(
            "preprocessing",
            "fields that depart from the model's own",
            len(judged),
            0,
            n=len(told["used"]),
            unit="fields",
        )
        return Outcome.of([overall, *found], _summary(judged, found))


def _why_not(about: Mapping[str, Any]) -> str:
    if "candidate" not in about:
        return "The predictions were saved elsewhere, so how the images were prepared is not known."
    if "preprocessing" not in about:
        return "The stored evidence does not tell the preprocessing; gather it with `auditor run`."
    return "The model names no preprocessing of its own, so there is nothing to compare with."


def _departures(told: Mapping[str, Any]) -> Iterator[Finding]:
    from auditor.models.preprocessing import alike

    own, trained = told["own"], told["trained"]
    for name, used in told["used"].items():
        learnt = name in trained and alike(used, trained[name])
        as_published = alike(trained.get(name, own[name]), own[name])
        if as_published and (alike(used, own[name]) or alike(used, own.get(f"test_{name}"))):
            continue
        whose, right = "its own", own[name]
        if not learnt and not as_published:
            whose, right = "the training run's", trained[name]
        yield Finding(
            subject=name,
            metric="departs from the model's own",
            observed=1,
            limit=None if learnt else 0,
            unit="fields",
            higher_is_better=False,
            status=Status.SKIP if learnt else Status.FAIL,
            note=f"{setting(used)} used{' as in training' * learnt}, "
            f"{setting(right)} is {whose}{_trap(name, right)}",
        )


def _trap(name: str, own: Any) -> str:
    half = name in ("mean", "std") and set(own) == {0.5}
    return "; weights trained with AdvProp or on TPUs expect 0.5" if half else ""


def _summary(judged: list[Finding], found: list[Finding]) -> str:
    if judged:
        said = "; ".join(f"{finding.subject} {finding.note}" for finding in judged)
        return f"The preprocessing is not the model's own: {said}."
    if found:
        names = ", ".join(finding.subject for finding in found)
        return f"The preprocessing is that of the training run, which changed {names}."
    return "The preprocessing is the model's own."
