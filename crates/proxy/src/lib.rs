//! Services and slices to packet rules and their diff.
