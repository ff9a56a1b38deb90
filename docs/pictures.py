"""Make the small pictures of the README and the docs from figures that the workflow has drawn.

A picture whose figure is not there stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "nanoaod_leading_pt": "results/nanoaod/figures",
    "fig1": "results/figures",
    "fig6": "results/figures",
    "fig8": "results/figures",
    "coverage": "results/figures",
    "calibration": "results/figures",
    "repeated": "results/repeated/figures",
    "learning_curve": "results/learning_curve/figures",
    "training_cost": "results/schedule/figures",
}
FIGURES = {"nanoaod_leading_pt": "closure_leading_pt"}
"""What a figure is called in the results, where pictures of several runs could be confused."""

WIDTH = {"fig6": 700, "nanoaod_leading_pt": 700}

if __name__ == "__main__":
    target = ROOT / "docs/images"
    target.mkdir(exist_ok=True)
    for name, folder in FOLDERS.items():
        figure = FIGURES.get(name, name)
        source = ROOT / folder / f"{figure}.png"
        if not source.exists():
            continue
        with Image.open(source) as picture:
            width = WIDTH.get(name, 1100)
            small = picture.convert("RGB").resize(
                (width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS
            )
            small.quantize(64).save(target / f"{name}.png", optimize=True)
