//! The composition root: chooses the component by subcommand or by the name it is called under, and is the only
//! place that names both a trait's user and its implementation.

mod addons;
mod bench;
mod claim;
mod cli;
mod clusters;
mod components;
mod control_plane;
mod detach;
mod doctor;
mod down;
mod duration;
mod finding;
mod host;
mod images;
mod join;
mod log_file;
mod logging;
mod node;
mod probe;
mod remains;
mod remote;
mod roads;
mod run;
mod service;
mod serving;
mod state;
mod status;
mod supervise;
mod whole_file;

use std::path::Path;
use std::process::ExitCode;

use crate::cli::COMPONENTS;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = cli::upstream::prepare(arguments()).and_then(|prepared| {
        let cli = cli::parse(prepared.args);
        if !prepared.without_effect.is_empty() {
            eprintln!("corten: without effect here: {}", prepared.without_effect.join(", "));
        }
        run::run(cli.command)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("corten: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The arguments, with the subcommand put in when the binary is called as a component.
fn arguments() -> Vec<std::ffi::OsString> {
    let mut all: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let called = all.first().map(Path::new).and_then(Path::file_name).and_then(|n| n.to_str());
    if let Some(component) = called.filter(|n| COMPONENTS.contains(n)).map(str::to_owned) {
        all.splice(..1, ["corten".into(), component.into()]);
    }
    all
}
