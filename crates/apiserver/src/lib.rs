//! The API server: one file per layer and per verb.
