"""What a person set by name, in an environment variable or an option, read as a value."""

from __future__ import annotations

from posttrainbench.errors import SetupError


def number(name: str, text: str | None, default: float, at_least: float) -> float:
    """The number that `text` tells; `default` where nothing was set.

    Raises:
        SetupError: it is no finite number, or one below `at_least`; the text names the setting.
    """
    if text is None:
        return default
    try:
        told = float(text)
        if not at_least <= told < float("inf"):
            raise ValueError
    except ValueError:
        raise SetupError(f"{name} must be a number of at least {at_least:g}, not {text!r}") from None
    return told
