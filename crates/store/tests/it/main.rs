//! The stores against the suite, against a model, and against kill -9, damaged files and full disks.

mod damage;
mod files;
mod growth;
mod kill;
mod model;
mod suites;
