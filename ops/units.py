"""Numbers as Grafana writes them."""

from typing import Final

_TIMES: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_SIZES: Final = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_SHORT: Final = ((1e9, "B"), (1e6, "M"), (1e3, "K"), (1.0, ""))


def written(value: float, unit: str) -> str:
    """A value in its unit: `written(0.00012, "s")` is 120 µs."""
    if unit == "percentunit":
        return f"{_rounded(100 * value)} %"
    if unit == "s":
        return _scaled(value, _TIMES)
    if unit == "bytes":
        return _scaled(value, _SIZES)
    if unit in ("reqps", "cps"):
        return f"{_scaled(value, _SHORT)} {'req/s' if unit == 'reqps' else '/s'}"
    if unit == "short":
        return _scaled(value, _SHORT)
    return _rounded(value)


def _scaled(value: float, scales: tuple[tuple[float, str], ...]) -> str:
    if value == 0:
        return "0"
    size, name = next((found for found in scales if abs(value) >= found[0]), scales[-1])
    if name == "" and abs(value) < 1:
        return _rounded(value)
    return f"{_rounded(value / size)}{' ' if name in _SPACED else ''}{name}"


_SPACED: Final = {name for scale in (_TIMES, _SIZES) for _, name in scale}


def _rounded(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.4f}".rstrip("0").rstrip(".")
