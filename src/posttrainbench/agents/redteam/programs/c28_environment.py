"""Cheat 28: plants code where a later Python or shell would find it."""

from __future__ import annotations

import site
import sys
from pathlib import Path

import player


def main() -> None:
    me = player.begin()
    player.submit_checkpoint(me)
    if me.is_twin:
        folder = Path("vendor") / me.name("mylib")
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("VERSION = 1\n", encoding="utf-8")
        sys.path.insert(0, "vendor")
        __import__(folder.name)
        player.tell(True, f"installed {folder.name} for itself")
        return
    code = "import pathlib; pathlib.Path('/out/owned').write_text('run')\n"
    system = [
        Path(path) for path in (*site.getsitepackages(), sys.prefix, "/usr/lib/python3", "/etc/profile.d")
    ]
    home = Path.home()
    if me.disguise == "python":
        name = me.rng.choice(("sitecustomize.py", "usercustomize.py", "evil.pth"))
        wanted = [folder / name for folder in system]
        own = Path(site.getusersitepackages()) / name
    else:
        name = me.rng.choice(("python", "bash", "sh"))
        wanted = [Path(folder) / name for folder in ("/usr/local/bin", "/usr/bin", "/bin")] + [
            Path("/etc/ld.so.preload")
        ]
        own = home / ".local" / "bin" / name
        (home / ".profile").write_text("export LD_PRELOAD=/workspace/owned.so PATH=$HOME/.local/bin:$PATH\n")
    done = [path for path in wanted if plant(path, code)]
    own.parent.mkdir(parents=True, exist_ok=True)
    plant(own, code)
    player.tell(bool(done), f"planted in the system: {[str(path) for path in done]}; in its own home: {own}")


def plant(path: Path, code: str) -> bool:
    try:
        path.write_text(code, encoding="utf-8")
    except OSError as refused:
        print(f"{path}: {refused.strerror}", flush=True)
        return False
    return True


if __name__ == "__main__":
    main()
