"""Render rooms that no model and no setting of this project was made with.

    python -m demo.unseen_rooms --out DIR --count 32

Writes DIR/images/NAME.jpg and DIR/render_semantic_npy/NAME.npy: integer labels (H, W), as numbered
in `rooms.NAMES`. A number always gives the same room. The renderer, Mitsuba 3, Intel's denoiser and
trimesh, for solids, are no dependencies of the project: a message says what to install.
Mitsuba compiles with LLVM 16 or newer, named by DRJIT_LIBLLVM_PATH where it is not found.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PACKAGES = {
    "mitsuba": "mitsuba==3.9.1",
    "pyoidn": "pyoidn==2.5.1.0",
    "cffi": "cffi",  # pyoidn's
    "trimesh": "trimesh==5.2.0",
    "scipy": "scipy",  # trimesh's
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--first", type=int, default=0, help="number of the first room")
    parser.add_argument("--samples", type=int, default=16, help="a pixel; a multiple of 8")
    options = parser.parse_args()
    if missing := [name for name in PACKAGES if not find_spec(name)]:
        wanted = f"pip install {' '.join(PACKAGES.values())}"
        raise SystemExit(f"{', '.join(missing)} missing, which draw the rooms: {wanted}")
    import mitsuba

    mitsuba.set_variant("llvm_ad_rgb")
    from demo.unseen_rooms import rooms  # here: it loads what may be missing

    for folder in ("images", "render_semantic_npy"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    for number in range(options.first, options.first + options.count):
        started = time.perf_counter()
        name = rooms.room_name(number)
        image, labels = rooms.render(number, options.samples)
        image.save(options.out / "images" / f"{name}.jpg", quality=92)
        np.save(options.out / "render_semantic_npy" / f"{name}.npy", labels)
        chairs = np.mean(labels == rooms.LABELS["chair"])
        print(f"{name}: chairs {chairs:.1%}, {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
