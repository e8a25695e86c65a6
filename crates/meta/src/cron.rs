//! Cron schedules: five fields, or a descriptor such as `@daily` or `@every 1h30m`, read and followed as upstream's
//! library does it, its ways at changes of the clock in a time zone included. Nothing here reads a clock.
// k8s: robfig/cron v3 parser.go, spec.go, constantdelay.go; pkg/util/parsers/parsers.go

mod parse;
mod schedule;

pub use parse::parse;
pub use schedule::{Fields, Schedule};

#[cfg(test)]
mod tests;
