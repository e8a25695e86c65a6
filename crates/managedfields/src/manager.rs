//! Names of field managers. It must never be asked about anything but the name.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/create.go managerOrUserAgent

/// Longest name of a field manager, in bytes.
pub const LIMIT_BYTES: usize = 128;

/// Whether Go would print the character as it is.
#[must_use]
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // Other white space, control and format characters, private and unassigned ones.
    !(c.is_control()
        || c.is_whitespace()
        || matches!(u32::from(c),
            0xAD | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x180E | 0x200B..=0x200F | 0x202A..=0x202E
            | 0x2060..=0x206F | 0xE000..=0xF8FF | 0xFEFF | 0xFFF9..=0xFFFB | 0xFFFE..=0xFFFF
            | 0xE0000..=0xE0FFF | 0xF0000..))
}

/// The name that a write without one gets: the user agent up to its first slash.
#[must_use]
pub fn of_user_agent(user_agent: &str) -> String {
    let prefix = user_agent.split('/').next().unwrap_or("");
    let mut name = String::new();
    for c in prefix.chars().filter(|c| is_printable(*c)) {
        if name.len() + c.len_utf8() > LIMIT_BYTES {
            break;
        }
        name.push(c);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_user_agents() {
        let long = "x".repeat(200);
        let cases = [
            ("kubectl/v1.37.0 (linux/amd64)", "kubectl"),
            ("", ""),
            ("/x", ""),
            ("a b\u{7}c/1", "a bc"),
            ("\u{e9}\u{200b}/1", "\u{e9}"),
            (long.as_str(), &long[..128]),
        ];
        for (agent, want) in cases {
            assert_eq!(of_user_agent(agent), want, "{agent}");
        }
    }
}
