//! The controllers, each a pure decider.
