//! `corten service`: a systemd unit that runs `corten up`, so that the cluster is there again after a boot. One
//! command writes and starts it, one takes it away.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::host::need_root;
use crate::logging::say;
use crate::state::StateDir;
use crate::{cli, down};

const UNIT: &str = "corten.service";
/// The first line of a unit of ours; one without it is somebody else's.
const MARK: &str = "# Written by corten service install; corten service remove takes it away.";

/// Where systemd is.
struct Systemd {
    /// Is there only while systemd runs the machine.
    // See sd_booted(3).
    booted: PathBuf,
    units: PathBuf,
    systemctl: PathBuf,
}

/// `corten service`.
///
/// # Errors
/// When systemd does not run, or refuses.
pub async fn run(command: cli::ServiceCommand) -> Result<()> {
    let systemd = Systemd {
        booted: "/run/systemd/system".into(),
        units: "/etc/systemd/system".into(),
        systemctl: "systemctl".into(),
    };
    match command {
        cli::ServiceCommand::Install(o) => {
            let unit = unit(&std::env::current_exe()?, &words_of_up(std::env::args_os()), &o)?;
            if o.print {
                say(unit.trim_end());
                return Ok(());
            }
            need_root("corten service install")?;
            systemd.check_runs()?;
            systemd.check_ours()?;
            if o.state.state_dir.is_dir() {
                // The service takes its place; pods do not notice.
                down::stop_owner(&StateDir::open(&o.state.state_dir)?, &|line: &str| say(line)).await?;
            }
            systemd.install(&unit)
        }
        cli::ServiceCommand::Remove => {
            need_root("corten service remove")?;
            systemd.check_runs()?;
            systemd.remove()
        }
    }
}

/// What stands behind `service install` on our own command line, but for what only that knows.
fn words_of_up(args: impl Iterator<Item = OsString>) -> Vec<String> {
    let behind = args.skip_while(|word| word != "install").skip(1).filter(|word| word != "--print");
    behind.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// A word of a command line in a unit.
// See systemd.service(5), COMMAND LINES.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' | '$' => text.extend([c, c]),
            _ => text.push(c),
        }
    }
    text + "\""
}

fn unit(program: &Path, words: &[String], o: &cli::ServiceInstall) -> Result<String> {
    if !o.state.state_dir.is_absolute() {
        bail!(
            "--state-dir {} must begin with /: a service has no directory of yours",
            o.state.state_dir.display()
        );
    }
    let command = std::iter::once(program.to_string_lossy().into_owned()).chain(["up".to_owned()]);
    let command: Vec<String> = command.chain(words.iter().cloned()).map(|word| quoted(&word)).collect();
    Ok(format!(
        "{MARK}
[Unit]
Description=Corten: Kubernetes on this machine
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={}
Restart=on-failure
RestartSec=2
# Pods and their runtime go on when the server is stopped or replaced; corten down stops them.
KillMode=process
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
TimeoutStopSec=60

[Install]
WantedBy=multi-user.target
",
        command.join(" ")
    ))
}

impl Systemd {
    fn unit(&self) -> PathBuf {
        self.units.join(UNIT)
    }

    fn check_runs(&self) -> Result<()> {
        if !self.booted.is_dir() {
            bail!(
                "systemd does not run this machine: corten service install --print shows what a service would run"
            );
        }
        Ok(())
    }

    fn check_ours(&self) -> Result<()> {
        let unit = self.unit();
        match std::fs::read_to_string(&unit) {
            Ok(text) if !text.starts_with(MARK) => {
                bail!("{} is not of corten's making: it is left as it is", unit.display())
            }
            _ => Ok(()),
        }
    }

    fn call(&self, words: &[&str]) -> Result<()> {
        let output = std::process::Command::new(&self.systemctl).args(words).output();
        let output = output.with_context(|| self.systemctl.display().to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("systemctl {}: {}", words.join(" "), said.trim());
        }
        Ok(())
    }

    fn install(&self, text: &str) -> Result<()> {
        let unit = self.unit();
        std::fs::write(&unit, text).with_context(|| unit.display().to_string())?;
        say(format_args!("wrote {}", unit.display()));
        self.call(&["daemon-reload"])?;
        self.call(&["enable", UNIT])?;
        // Also when an older one runs.
        self.call(&["restart", UNIT])?;
        say(format_args!("{UNIT} runs, and starts with the machine: journalctl -u {UNIT} shows its log"));
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        let unit = self.unit();
        if !unit.exists() {
            bail!("no service is installed: there is no {}", unit.display());
        }
        self.check_ours()?;
        self.call(&["disable", "--now", UNIT])?;
        std::fs::remove_file(&unit).with_context(|| unit.display().to_string())?;
        self.call(&["daemon-reload"])?;
        say(format_args!("removed {}; pods go on: corten down stops them", unit.display()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn options(line: &str) -> cli::ServiceInstall {
        let words = ["corten", "service", "install"].into_iter().chain(line.split_whitespace());
        match cli::parse(words.map(OsString::from).collect()).command {
            cli::Command::Service(cli::ServiceCommand::Install(o)) => *o,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_unit_runs_up_with_the_flags_that_were_given() {
        let line = "--print --secure-port 7443 --node-labels a=50%,b=$x --state-dir=/var/lib/my";
        let words =
            words_of_up(["corten", "service", "install"].into_iter().chain(line.split(' ')).map(Into::into));
        let text = unit(Path::new("/opt/a b/corten"), &words, &options(line)).unwrap();
        let command = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let want = "\"/opt/a b/corten\" up --secure-port 7443 --node-labels \"a=50%%,b=$$x\" --state-dir=/var/lib/my";
        assert_eq!(command, want);
        for setting in ["KillMode=process", "WantedBy=multi-user.target", "Restart=on-failure"] {
            assert!(text.lines().any(|line| line == setting), "{setting}: {text}");
        }
        let relative = unit(Path::new("/corten"), &[], &options("--state-dir here")).unwrap_err().to_string();
        assert!(relative.starts_with("--state-dir here must begin with /"), "{relative}");
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
    }

    #[test]
    fn it_is_installed_and_removed_and_foreign_units_stay() {
        let dir = std::env::temp_dir().join(format!("corten-service-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (log, systemctl) = (dir.join("log"), dir.join("systemctl"));
        let script = format!("#!/bin/sh\necho \"$@\" >> {}\n[ \"$2\" != broken ]\n", log.display());
        std::fs::write(&systemctl, script).unwrap();
        std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
        let systemd = Systemd { booted: dir.join("booted"), units: dir.clone(), systemctl };
        assert!(systemd.check_runs().unwrap_err().to_string().contains("systemd does not run"));
        std::fs::create_dir(&systemd.booted).unwrap();
        systemd.check_runs().unwrap();
        assert!(systemd.remove().unwrap_err().to_string().contains("no service is installed"));
        let text = unit(Path::new("/corten"), &[], &options("")).unwrap();
        systemd.install(&text).unwrap();
        systemd.check_ours().unwrap();
        assert_eq!(std::fs::read_to_string(systemd.unit()).unwrap(), text);
        systemd.remove().unwrap();
        assert!(!systemd.unit().exists());
        let calls = std::fs::read_to_string(&log).unwrap();
        let want = "daemon-reload\nenable corten.service\nrestart corten.service\n\
                    disable --now corten.service\ndaemon-reload\n";
        assert_eq!(calls, want);
        std::fs::write(systemd.unit(), "[Unit]\n").unwrap();
        assert!(systemd.check_ours().unwrap_err().to_string().contains("not of corten's making"));
        assert!(systemd.remove().is_err() && systemd.unit().exists());
        assert!(systemd.call(&["is", "broken"]).unwrap_err().to_string().starts_with("systemctl is broken"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
