"""NVIDIA GPUs: which the machine has, and what of them a sandbox needs to see.

A GPU is a device file: a sandbox that is not shown it cannot use it, whatever variables say inside.
The driver's libraries lie in /usr, which every sandbox shows, or else they are shown too.

Not covered: GPUs of other makers; slices of a GPU (MIG), which show as the whole; keeping two sandboxes from
one GPU, which is for whoever starts them; what a job left in a GPU's memory, which the driver clears.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.protocols import Mount
from posttrainbench.sandboxes.python_runtime import ENVIRONMENT

LIBRARIES = "/opt/nvidia"  # inside; for those of the driver that the loader would not find by itself
DRIVER_LIBRARY = "libcuda.so.1"
DRIVER_FILES = ("libcuda.so*", "libnvidia-*.so*", "libnvcuvid.so*", "libcudadebugger.so*")
CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")
VISIBLE = "CUDA_VISIBLE_DEVICES"
TOOL = "nvidia-smi"
# Where drivers lie that no loader's cache knows: in containers, on NixOS, in WSL.
USUAL_FOLDERS = (
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/run/opengl-driver/lib",
    "/usr/lib/wsl/lib",
)
SEARCHED = re.compile(r"/usr/lib(64)?(/[^/]+-linux-gnu)?")  # what a loader searches anyway


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU."""

    model: str
    uuid: str
    device: Path  # its device file on the host


@dataclass(frozen=True, slots=True)
class View:
    """What a sandbox shows of some GPUs. Links are (path inside, target inside)."""

    mounts: tuple[Mount, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    library_folder: str | None = None  # inside; to be put on the loader's way
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NvidiaDriver:
    """The driver of this machine, by where it tells of itself."""

    told: Path = Path("/proc/driver/nvidia/gpus")
    devices: Path = Path("/dev")
    folders: tuple[Path, ...] = tuple(map(Path, USUAL_FOLDERS))

    def gpus(self) -> tuple[Gpu, ...]:
        """The machine's GPUs that are ours to use, in the order of their slots.

        CUDA_VISIBLE_DEVICES of this process chooses among them, by number or id: schedulers set it.
        """
        found = [gpu for folder in sorted(self.told.glob("*")) if (gpu := self._gpu(folder)) is not None]
        chosen = os.environ.get(VISIBLE)
        if chosen is None:
            return tuple(found)
        wanted = [word.strip() for word in chosen.split(",") if word.strip()]
        return tuple(
            gpu for n, gpu in enumerate(found) if any(w == str(n) or gpu.uuid.startswith(w) for w in wanted)
        )

    def view(self, most: int) -> View:
        """The first `most` GPUs, as far as there are so many; nothing for none."""
        gpus = self.gpus()[:most]
        if not gpus:
            return View()
        devices = [gpu.device for gpu in gpus]
        devices += [self.devices / name for name in CONTROL if (self.devices / name).is_char_device()]
        libraries = self._libraries()
        files = [(file, f"{LIBRARIES}/{file.name}") for file in libraries] + self._tool()
        return View(
            mounts=(
                *(Mount(device, f"/dev/{device.name}", writable=True) for device in devices),
                *(Mount(file.resolve(), inside) for file, inside in files if not _in_usr(file)),
            ),
            links=tuple((inside, str(file)) for file, inside in files if _in_usr(file)),
            environment=((VISIBLE, _ids(gpus)),),
            library_folder=LIBRARIES if libraries else None,
            ids=tuple(gpu.uuid for gpu in gpus),
        )

    def environment(self, most: int) -> dict[str, str]:
        """What a command on the host has to be told to use the first `most` GPUs and no others."""
        gpus, folder = self.gpus(), self._library_folder()
        libraries = {"LD_LIBRARY_PATH": str(folder)} if folder is not None else {}
        return {VISIBLE: _ids(gpus[:most]), **libraries} if gpus else {}

    def _gpu(self, folder: Path) -> Gpu | None:
        """What the driver says of one GPU; None when its device file is not there for us."""
        try:
            text = (folder / "information").read_text(errors="replace")
        except OSError:
            return None
        facts = {
            key.strip(): value.strip() for key, _, value in (x.partition(":") for x in text.splitlines())
        }
        device = self.devices / f"nvidia{facts.get('Device Minor', '')}"
        if "GPU UUID" not in facts or not device.is_char_device():
            return None
        return Gpu(facts.get("Model", "NVIDIA"), facts["GPU UUID"], device)

    def _library_folder(self) -> Path | None:
        """Where the driver's libraries lie, if no loader would find them there by itself."""
        named = [Path(word) for word in os.environ.get("LD_LIBRARY_PATH", "").split(":") if word]
        folders = (folder for folder in (*named, *self.folders) if (folder / DRIVER_LIBRARY).exists())
        return next((folder for folder in folders if not SEARCHED.fullmatch(str(folder))), None)

    def _libraries(self) -> tuple[Path, ...]:
        folder = self._library_folder()
        if folder is None:
            return ()
        files = {file for pattern in DRIVER_FILES for file in folder.glob(pattern) if file.exists()}
        return tuple(sorted(files))

    def _tool(self) -> list[tuple[Path, str]]:
        """The driver's own program, unless the sandbox's PATH leads to it anyway."""
        found = shutil.which(TOOL)
        if found is None or Path(found).parent in (Path("/usr/bin"), Path("/usr/local/bin"), Path("/bin")):
            return []
        return [(Path(found), f"{ENVIRONMENT}/bin/{TOOL}")]


HERE = NvidiaDriver()


def _ids(gpus: tuple[Gpu, ...]) -> str:
    return ",".join(gpu.uuid for gpu in gpus)


def _in_usr(path: Path) -> bool:
    return Path("/usr") in path.parents
