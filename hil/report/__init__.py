"""Reports: what a person reads. Drawing only."""

from hil.report.terminal import duration, plain, plan_view, profile_view, show, size, table

__all__ = ["duration", "plain", "plan_view", "profile_view", "show", "size", "table"]
