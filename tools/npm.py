"""npm's packages for tests and tools: by the hashes of a lock alone, and none runs a script."""

import hashlib
import shutil
import subprocess
from pathlib import Path

BUILD = Path(__file__).parent.parent / "build" / "npm"
_FILES = ("package.json", "package-lock.json", ".npmrc")


def install(lock: Path) -> Path:
    """The ``node_modules`` of a folder with a lock, under ``build``; installed where it changed.

    FileNotFoundError where npm is missing.
    """
    if shutil.which("npm") is None:
        raise FileNotFoundError("npm is not installed; as root: apt-get install nodejs npm")
    content = b"".join((lock / name).read_bytes() for name in _FILES)
    folder = BUILD / f"{lock.name}-{hashlib.sha256(content).hexdigest()[:16]}"
    stamp = folder / "installed"
    if not stamp.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            shutil.copy(lock / name, folder)
        subprocess.run(["npm", "ci", "--loglevel=error"], cwd=folder, check=True)
        stamp.touch()
    return folder / "node_modules"
