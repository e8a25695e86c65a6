//! Tables for statuses.
