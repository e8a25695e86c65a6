//! The simulation over many seeds.

mod seeds;
