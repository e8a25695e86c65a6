//! What the system says of this process, under the names that every Prometheus client gives it. It must never
//! fail: what cannot be read is left out.

use std::fmt::Write as _;

/// Clock ticks per second in `/proc/self/stat`; Linux tells programs 100 whatever it uses itself.
const TICKS_PER_SECOND: f64 = 100.0;

/// Prometheus text of CPU time, memory and file descriptors.
pub fn render(out: &mut String) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let mut metric = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    };
    let cpu = cpu_seconds(&read("stat"));
    metric("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", cpu);
    let status = read("status");
    let memory = |field: &str| number_behind(&status, field).map(|kib| kib * 1024.0);
    let resident = memory("VmRSS:");
    metric("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident);
    let size = memory("VmSize:");
    metric("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", size);
    let open = std::fs::read_dir("/proc/self/fd").map(|d| d.count() as f64).ok();
    metric("process_open_fds", "gauge", "Number of open file descriptors.", open);
    let limit = number_behind(&read("limits"), "Max open files");
    metric("process_max_fds", "gauge", "Maximum number of open file descriptors.", limit);
}

/// User and system time; the program's name, which may hold anything, is in brackets before them.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

/// The first number on the line that begins with `field`.
fn number_behind(text: &str, field: &str) -> Option<f64> {
    let rest = text.lines().find_map(|l| l.strip_prefix(field))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 100 1 2";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(number_behind("A: 1\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
        let limits = "Max open files            1024                 4096                 files";
        assert_eq!(number_behind(limits, "Max open files"), Some(1024.0));
    }
}
