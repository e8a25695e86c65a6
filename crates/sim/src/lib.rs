//! The simulation: virtual time, seeds and faults.
