"""``python -m bench.screenshots``: pictures of the running `ok-ml ui` for the documentation, 1440 x 900.

A UI that runs is photographed as it is; else one is started, without the clock, and stopped at the end. Panels that fold are
folded beforehand, as a setting of the browser; nothing is dismissed: a dialog on a page is a failure.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Error

from bench.browser import HEIGHT, PictureFailed, Visit, browser
from bench.pages import Picture, pictured_experiment, pictures
from bench.running_ui import ensure_ui
from ok_ml.config.loader import load_project
from ok_ml.errors import OkMlError


def main(argv: Sequence[str] | None = None) -> int:
    """Take every picture; returns 1 if one could not be taken."""
    parser = argparse.ArgumentParser("bench.screenshots", description="Take pictures of the pages of `ok-ml ui`.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these pictures, e.g. graph served")
    parser.add_argument("--out", type=Path, help="folder; default: docs/images of the project")
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments.names, arguments.out)
    except OkMlError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _run(names: list[str], out: Path | None) -> int:
    project = load_project()
    folder = out or project.root / "docs" / "images"
    wanted = [one for one in pictures(project, pictured_experiment(project)) if not names or one.name in names]
    if unknown := set(names) - {one.name for one in wanted}:
        sys.stderr.write(f"unknown pictures: {', '.join(sorted(unknown))}\n")
        return 2
    with ensure_ui(project), browser() as visit:
        failures = [problem for one in wanted if (problem := taken(visit, one, folder))]
        outside = sorted(set(visit.outside))
    if outside:
        sys.stderr.write(f"pages asked for other hosts, in vain: {', '.join(outside)}\n")
    for failure in failures:
        sys.stderr.write(f"not taken: {failure}\n")
    return 1 if failures else 0


def taken(visit: Visit, picture: Picture, folder: Path) -> str:
    """Take one picture; returns what went wrong, or nothing. A picture of an earlier time is removed first."""
    path = folder / f"{picture.name}.png"
    path.unlink(missing_ok=True)
    url = "its address is not known"
    try:
        url = picture.url()
        visit.page.set_viewport_size({"width": picture.width, "height": HEIGHT})
        visit.open(url)
        picture.prepare(visit.page)
        visit.settle()
        visit.save(path)
    except (PictureFailed, Error, OSError) as error:
        return f"{path.name} ({url}): {str(error).strip().splitlines()[0]}"
    sys.stderr.write(f"{path.name}  {path.stat().st_size / 1000:.0f} KB\n")
    return ""


if __name__ == "__main__":
    sys.exit(main())
