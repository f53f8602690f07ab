"""The picture in README: the first screen of the page that `bench report` writes about a run.

Type `python docs/make_picture.py FILE.evidence.json [--challenge FILE]`: what follows the file is handed to
`bench report`. It needs Chromium and playwright (the extra `test`).
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

PICTURE = Path(__file__).resolve().parent / "report.png"
WIDTH, HEIGHT = 1200, 780


def main() -> None:
    from playwright.sync_api import sync_playwright

    browser = which("chromium")
    if browser is None or len(sys.argv) < 2:
        sys.exit("type python docs/make_picture.py FILE.evidence.json, with Chromium installed")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "report.html"
        words = ("report", *sys.argv[1:], "-o", page_file, "--lang", "en")
        subprocess.run([sys.executable, "-m", "bench", *words], check=True, stdout=subprocess.DEVNULL)
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.screenshot(path=PICTURE)
        chromium.close()


if __name__ == "__main__":
    main()
