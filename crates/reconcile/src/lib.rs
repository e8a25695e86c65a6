//! The pure Controller trait, caches, Plan and Action, and the gate.
