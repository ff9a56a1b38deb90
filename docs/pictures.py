"""Make the pictures of the README, small, from the figures of the default config."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
PICTURES = ("fig1", "fig6", "fig8")
WIDTH = {"fig6": 700}

if __name__ == "__main__":
    folder = ROOT / "docs/images"
    folder.mkdir(exist_ok=True)
    for name in PICTURES:
        with Image.open(ROOT / f"results/figures/{name}.png") as picture:
            width = WIDTH.get(name, 1100)
            small = picture.convert("RGB").resize((width, round(width * picture.height / picture.width)), Image.LANCZOS)
            small.quantize(64).save(folder / f"{name}.png", optimize=True)
