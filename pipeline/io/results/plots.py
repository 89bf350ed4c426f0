"""Plots as PNG, by matplotlib."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.ops.scores.detection import RATES, Froc, interval
from lungseg.volume import FloatArray

# False positives per scan at which the band is drawn.
BAND_RATES = tuple(float(r) for r in np.geomspace(RATES[0], RATES[-1], 61))


def write_froc(
    curve: Froc, samples: FloatArray, title: str, path: Path, before: Froc | None = None
) -> None:
    """Plot a free-response curve on a logarithmic axis from 1/8 to 8, with its 95 % band.

    Parameters
    ----------
    curve
        One that is NaN leaves the axes empty; `title` should say why.
    samples
        Sensitivities ``(rounds, rates)`` of draws of scans, at `BAND_RATES`.
    title, path
        Above the plot, and its PNG.
    before
        The curve before a reducer judged the candidates, if one did; dashed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    sensitivity = curve.at(BAND_RATES)
    if np.isfinite(sensitivity).any():
        axes.plot(BAND_RATES, sensitivity, color="#0072b2", linewidth=1.8)
        axes.plot(RATES, curve.at(), "o", color="#0072b2", markersize=5)
        bounds = [bound for column in samples.T if (bound := interval(column))]
        if len(bounds) == len(BAND_RATES):
            low, high = zip(*bounds, strict=True)
            axes.fill_between(BAND_RATES, low, high, color="#0072b2", alpha=0.18, linewidth=0)
    if before is not None and np.isfinite(before.at(BAND_RATES)).any():
        axes.plot(
            BAND_RATES, before.at(BAND_RATES), "--", color="#d55e00", label="before the reducer"
        )
        axes.legend(loc="lower right", fontsize=9)
    axes.set_xscale("log", base=2)
    axes.set_xticks(RATES, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.set_xlim(RATES[0], RATES[-1])
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("false positives per scan")
    axes.set_ylabel("sensitivity")
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Software": None})


def write_calibration(calibration: Mapping[str, Any] | None, path: Path) -> None:
    """Plot the share of nodules over the candidates' score, and over the calibrated one.

    Parameters
    ----------
    calibration
        As `lungseg.ops.scores.calibration.calibration_scores` makes it; None leaves the axes empty.
    path
        The PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    errors = []
    for name, colour in (("score", "#0072b2"), ("calibrated", "#d55e00")):
        one = calibration[name] if calibration else None
        if one and one["predicted"]:
            axes.plot(one["predicted"], one["observed"], "o-", color=colour, label=name)
            errors.append(f"{name} {one['ece']:.3f}")
    if errors:
        axes.legend(loc="upper left", fontsize=9)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("probability of the candidate")
    axes.set_ylabel("share of nodules")
    title = "expected calibration error: " + ", ".join(errors) if errors else "no candidates"
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Software": None})
