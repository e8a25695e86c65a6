//! Tables for the worker.
