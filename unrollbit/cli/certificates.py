"""What the certificates of a file say, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sentences(certificates: Mapping[str, Any]) -> list[str]:
    """One sentence a statement, for people who want to know how good a network is.

    Example:
        >>> facts = {"signals": 2000, "confidence": 0.95, "share": 0.99, "limit_db": -82.3, "failure_db": -20.0}
        >>> facts |= {"failure": 0.0015, "risk": 0.0016, "seed": 0, "assumes": "signals are draws of the problem"}
        >>> sentences(facts | {"error_bar": {"level": 0.9, "signals": 2000, "tightness": 0.91}})[0]
        '99 % of signals are recovered to an NMSE below -82.3 dB (confidence 95 %, from 2,000 fresh signals, seed 0).'
    """
    c, bar = certificates, certificates["error_bar"]
    bars = [
        f"An error bar covers {_percent(bar['level'])} of signals (calibrated on {bar['signals']:,}); half of the "
        f"errors are above {_percent(bar['tightness'])} of their bar."
    ]
    if (samples := certificates.get("sample_error_bar")) is not None:
        bars.append(
            f"A map of error bars covers {_percent(samples['level'])} of the samples of a signal on average "
            f"(calibrated on {samples['signals']:,} signals); half of the errors are above "
            f"{_percent(samples['tightness'])} of their bar."
        )
    confidence, signals = f"confidence {_percent(c['confidence'])}", f"{c['signals']:,} fresh signals"
    return [
        f"{_percent(c['share'])} of signals are recovered to an NMSE below {c['limit_db']:.1f} dB ({confidence}, from "
        f"{signals}, seed {c['seed']}).",
        f"At most {_percent(c['failure'])} of signals end above {c['failure_db']:g} dB ({confidence}).",
        f"The mean of min(NMSE, 1) is at most {c['risk']:.2g} ({confidence}).",
        *bars,
        f"Assumed: {c['assumes']}. Nothing is certified of other signals.",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
