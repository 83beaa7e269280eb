"""Motion of the procedural set in closed form: where a thing is at frame t follows from t alone, so any frame can be
drawn without the ones before it. Lengths are pixels of the frame, angles radians, times frames."""

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

Point = tuple[float, float]  # x, y
Time = int | float  # frames; between two of them where motion is planned


@dataclass(frozen=True)
class Wave:
    """``amplitude * sin(frequency * t + phase)``."""

    amplitude: float
    frequency: float
    phase: float

    def at(self, t: Time) -> float:
        """Its value at time t."""
        return self.amplitude * math.sin(self.frequency * t + self.phase)


def wave(rng: np.random.Generator, amplitude: float, shortest: float = 12.0, longest: float = 48.0) -> Wave:
    """A wave of random phase and of a period between `shortest` and `longest` frames."""
    return Wave(amplitude, 2 * math.pi / rng.uniform(shortest, longest), rng.uniform(0, 2 * math.pi))


@dataclass(frozen=True)
class Excursion:
    """A way out of the frame and back: displaced by `offset` between `leave` and `back`, eased over `ramp` frames."""

    offset: Point
    leave: float
    back: float
    ramp: float

    def at(self, t: Time) -> float:
        """Share of the offset that applies at time t."""
        return _ease((t - self.leave) / self.ramp) * (1 - _ease((t - self.back) / self.ramp))


def _ease(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def reflected(value: float, low: float, high: float) -> float:
    """The value folded into [low, high], as a ball that bounces between two walls."""
    span = high - low
    if span <= 0:
        return (low + high) / 2
    return low + span - abs((value - low) % (2 * span) - span)


@dataclass(frozen=True)
class Motion:
    """Pose and deformation of one thing over time: straight ways that bounce off a box, with sway, spin, breathing and a
    contour that bulges (its second and third angular wave)."""

    start: Point
    velocity: Point
    low: Point  # the box its centre bounces in
    high: Point
    sway: tuple[Wave, Wave]
    angle: float
    spin: float  # radians per frame
    breath: Wave  # relative change of size
    bulge: tuple[Wave, Wave, Wave, Wave]  # factors of cos 2a, sin 2a, cos 3a, sin 3a on the radius at angle a
    excursions: tuple[Excursion, ...] = field(default=())

    def home(self, t: Time) -> Point:
        """Its centre at time t, without excursions."""
        x = reflected(self.start[0] + self.velocity[0] * t, self.low[0], self.high[0]) + self.sway[0].at(t)
        y = reflected(self.start[1] + self.velocity[1] * t, self.low[1], self.high[1]) + self.sway[1].at(t)
        return x, y

    def centre(self, t: Time) -> Point:
        """Its centre at time t."""
        x, y = self.home(t)
        for excursion in self.excursions:
            share = excursion.at(t)
            x, y = x + share * excursion.offset[0], y + share * excursion.offset[1]
        return x, y

    def linear(self, t: Time) -> Float[np.ndarray, "2 2"]:
        """Rotation and relative size at time t."""
        return _turned(self.angle + self.spin * t, 1 + self.breath.at(t))

    def bulges(self, t: Time) -> Float[np.ndarray, "4"]:
        """The contour's deformation at time t."""
        return np.array([item.at(t) for item in self.bulge])


@dataclass(frozen=True)
class Camera:
    """A hand-held camera (shift, roll, zoom about the frame's centre, for everything) before a background that slides."""

    centre: Point
    shift: tuple[Wave, Wave]
    roll: Wave
    zoom: Wave
    slide: Point  # pixels per frame, background only

    def view(self, t: Time) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "2"]]:
        """Matrix and offset that take a point of the scene to the frame at time t."""
        matrix = _turned(self.roll.at(t), 1 + self.zoom.at(t))
        centre = np.array(self.centre)
        shift = np.array([self.shift[0].at(t), self.shift[1].at(t)])
        return matrix, centre + shift - matrix @ centre


@dataclass(frozen=True)
class Light:
    """Slow changes of brightness, as under passing clouds, and of the colour cast."""

    brightness: Wave  # in stops, powers of two
    cast: tuple[Wave, Wave, Wave]  # of red, green and blue, in stops

    def table(self, t: Time) -> UInt8[np.ndarray, "256 1 3"]:
        """What becomes of each value of each colour at time t."""
        gains = 2.0 ** (self.brightness.at(t) + np.array([wave.at(t) for wave in self.cast]))
        return np.minimum(np.arange(256)[:, None, None] * gains, 255).astype(np.uint8)


def _turned(angle: float, scale: float) -> Float[np.ndarray, "2 2"]:
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
