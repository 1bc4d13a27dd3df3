"""Pictures of an IMU: axes over time in several frames, spectra with the new Nyquist frequency, tilt, windows.

Everything takes `recording.ImuStream`s or plain arrays; nothing is filtered here but what a spectrum needs.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots
from scipy.signal import welch

from eailkit.plots.theme import CYCLE, INK, styled, thin
from eailkit.recording import ImuStream

QUANTITIES = {"acc": ("acc_mps2", "m/s²", "specific force"), "gyro": ("gyro_radps", "rad/s", "angular rate")}


def imu_figure(
    streams: dict[str, ImuStream],
    start_s: float,
    seconds: float,
    *,
    quantity: str = "acc",
    title: str = "",
    height: int = 460,
) -> go.Figure:
    """The three axes of one sensor over a stretch of time, one colour a stream.

    Args:
        streams: name -> stream, such as the same samples in the sensor's, the head's and the gravity frame.
        start_s: on the streams' clock; the axis counts from here.
        quantity: "acc" or "gyro".
    """
    attribute, unit, what = QUANTITIES[quantity]
    figure = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.05)
    for i, (name, stream) in enumerate(streams.items()):
        part = stream.crop(start_s, start_s + seconds)
        for axis in range(3):
            x, y = thin(part.t_s - start_s, getattr(part, attribute)[:, axis], 1600)
            line = {"color": CYCLE[i], "width": 1.4}
            trace = go.Scatter(x=x, y=y, name=name, legendgroup=name, showlegend=axis == 0, line=line, mode="lines")
            figure.add_trace(trace, row=axis + 1, col=1)
    styled(figure, title or what, height=height)
    for axis in range(3):
        figure.update_yaxes(title_text=f"{'xyz'[axis]} ({unit})", row=axis + 1, col=1)
    return figure.update_xaxes(title_text="time (s)", row=3, col=1)


def spectrum(values: Float[np.ndarray, " n"], rate_hz: float, *, seconds: float = 2.0):
    """Welch's power spectral density, mean removed: frequencies in Hz and unit²/Hz."""
    length = min(len(values), int(round(rate_hz * seconds)))
    return welch(np.asarray(values, float) - np.mean(values), fs=rate_hz, nperseg=length)


def spectrum_figure(
    signals: dict[str, tuple[Float[np.ndarray, " n"], float]], *, nyquist_hz: float | None = 200.0, unit: str = "m/s²",
    title: str = "", height: int = 400,
) -> go.Figure:  # fmt: skip
    """Power spectra on one logarithmic axis, with a line at the Nyquist frequency of what comes out.

    Args:
        signals: name -> (values, rate in Hz).
    """
    figure = go.Figure()
    for i, (name, (values, rate_hz)) in enumerate(signals.items()):
        frequency, power = spectrum(values, rate_hz)
        x, y = frequency[1:], np.maximum(power[1:], 1e-14)  # 0 Hz holds what is left of the mean
        line = {"color": CYCLE[i], "width": 1.6}
        figure.add_trace(go.Scatter(x=x, y=np.asarray(y, np.float32), name=name, mode="lines", line=line))
    if nyquist_hz:
        figure.add_vline(
            x=nyquist_hz, line={"color": INK, "dash": "dot"}, annotation_text=f"{nyquist_hz:g} Hz: new Nyquist"
        )
    styled(figure, title, "frequency (Hz)", f"power ({unit})²/Hz", height=height)
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    return figure


def tone_figure(
    before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray],
    names: tuple[str, str],
    *,
    title: str = "",
) -> go.Figure:
    """A signal and what a slower clock makes of it, over a tenth of a second: times (s) and values (m/s²) each."""
    figure = go.Figure()
    for i, ((t, v), name) in enumerate(zip((before, after), names, strict=True)):
        marker = {"size": 4 if i == 0 else 8, "symbol": "circle" if i == 0 else "diamond"}
        line = {"color": CYCLE[6 if i == 0 else 5], "width": 1 if i == 0 else 2.4}
        figure.add_trace(
            go.Scatter(
                x=1e3 * t, y=np.asarray(v, np.float32), name=name, mode="lines+markers", line=line, marker=marker
            )
        )
    styled(figure, title, "time (ms)", "vertical specific force (m/s²)", height=400)
    return figure


def tilt_figure(
    time_s: Float[np.ndarray, " n"], tilt_deg: dict[str, Float[np.ndarray, " n"]], *, title: str = "", height: int = 360
) -> go.Figure:
    """Angle between the filter's vertical and the true one over time, a line a filter, degrees."""
    figure = go.Figure()
    for i, (name, values) in enumerate(tilt_deg.items()):
        x, y = thin(np.asarray(time_s), np.asarray(values), 1500)
        label = f"{name}, median {np.nanmedian(values):.2f}°"
        figure.add_trace(go.Scatter(x=x, y=y, name=label, mode="lines", line={"color": CYCLE[i], "width": 1.4}))
    figure.add_hline(y=1.0, line={"color": INK, "dash": "dot"})
    styled(figure, title, "time (s)", "tilt error (degrees)", height=height)
    return figure


def window_figure(
    windows: Float[np.ndarray, "n 6 400"], names: list[str], *, title: str = "", height: int = 380
) -> go.Figure:
    """One-second windows as the encoder gets them: vertical and horizontal force, and turning, one column a window."""
    figure = make_subplots(
        2, len(windows), shared_yaxes=True, shared_xaxes=True, subplot_titles=names, vertical_spacing=0.08
    )
    t = np.arange(windows.shape[-1], dtype=np.float32) / windows.shape[-1]
    for k, window in enumerate(windows, start=1):
        rows = (
            (1, "vertical force - 9.81", window[2] - 9.81, CYCLE[5]),
            (1, "horizontal force", np.hypot(window[0], window[1]), CYCLE[4]),
            (2, "turning about the vertical", window[5], CYCLE[2]),
            (2, "nodding and rolling", np.hypot(window[3], window[4]), CYCLE[3]),
        )
        for row, name, y, colour in rows:
            line = {"color": colour, "width": 1.4}
            trace = go.Scatter(
                x=t, y=np.asarray(y, np.float32), name=name, legendgroup=name, showlegend=k == 1, line=line
            )
            figure.add_trace(trace, row=row, col=k)
        figure.update_xaxes(title_text="time (s)", row=2, col=k)
    figure.update_annotations(font_size=12)
    styled(figure, title, height=height, legend={"y": 1.1})
    figure.update_yaxes(title_text="m/s²", row=1, col=1)
    return figure.update_yaxes(title_text="rad/s", row=2, col=1)
