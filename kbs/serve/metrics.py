"""A worker's figures. Labels are methods and reasons, never who or what."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Meters"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meters:
    """What is counted, in one registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "sealgate_calls", "Calls answered, by method and reason.", ["method", "reason"], registry=self.registry
        )
        self._seconds = Histogram(
            "sealgate_call_seconds", "Time to answer.", ["method"], buckets=_SECONDS, registry=self.registry
        )
        self._late = Gauge("sealgate_loop_lag_seconds", "How late the event loop was last.", registry=self.registry)
        self._latest = Gauge("sealgate_loop_lag_max_seconds", "The latest it ever was.", registry=self.registry)
        self._stalls = Counter("sealgate_loop_stalls", "How often it was later than its bound.", registry=self.registry)
        self._size = Gauge("sealgate_log_entries", "Entries in the log.", registry=self.registry)
        self._ahead = Gauge(
            "sealgate_log_ahead_seconds", "How far the log's time is ahead of the clock.", registry=self.registry
        )
        self._reachable = Gauge("sealgate_log_reachable", "1 if the log can be read.", registry=self.registry)
        self._foreseen = Gauge(
            "sealgate_foreseen_refused_platforms",
            "Platforms that will be refused, by days ahead, if their collateral stays as it is.",
            ["days"],
            registry=self.registry,
        )
        self._graced = Gauge(
            "sealgate_foreseen_graced_platforms",
            "Platforms that get something by a dated exception alone, by days ahead.",
            ["days"],
            registry=self.registry,
        )
        self._recovery = Gauge(
            "sealgate_foreseen_recovery_refused_platforms",
            "Platforms that will be refused when announced TCB recoveries are the standard.",
            registry=self.registry,
        )
        self._worst = 0.0

    def observe(self, method: str, reason: str, seconds: float) -> None:
        """A call was answered; `reason` is OK or that of the refusal."""
        self._calls.labels(method=method, reason=reason).inc()
        self._seconds.labels(method=method).observe(seconds)

    def lag(self, late: float, *, stalled: bool) -> None:
        """The loop was `late` seconds late."""
        self._late.set(late)
        self._worst = max(self._worst, late)
        self._latest.set(self._worst)
        if stalled:
            self._stalls.inc()

    def log(self, size: int, ahead_ms: int) -> None:
        """The log has `size` entries; its time is `ahead_ms` ahead of the clock, or behind it."""
        self._size.set(size)
        self._ahead.set(max(0, ahead_ms) / 1_000)
        self._reachable.set(1)

    def foreseen(self, days: int, refused: int, *, graced: int, recovery: int) -> None:
        """So many platforms will be refused in `days`, pass by grace then, be refused by what is announced."""
        self._foreseen.labels(days=str(days)).set(refused)
        self._graced.labels(days=str(days)).set(graced)
        self._recovery.set(recovery)

    def log_unavailable(self) -> None:
        """The log cannot be read."""
        self._reachable.set(0)
