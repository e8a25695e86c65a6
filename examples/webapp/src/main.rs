//! A small web application, and the few tools that a test wants inside a container.
//!
//! It is linked statically, so that it runs in an image that
//! holds nothing else: `cargo build -p webapp` with `-C target-feature=+crt-static`.
//! See `webapp help`.

mod client;
mod dns;
mod http;
mod serve;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
webapp serve                    the web application, on $PORT (default 8080)
webapp get URL [-n COUNT] [--until TEXT] [--timeout SECONDS]
                                GET the URL; print the bodies; --until repeats until a body contains TEXT
webapp resolve NAME             print the addresses of a name (search domains of /etc/resolv.conf apply)
webapp sleep [SECONDS]          wait (for ever without SECONDS) or until SIGTERM
webapp cat FILE...              print files
webapp ls DIR                   print the names in a directory
webapp write FILE TEXT          write a file
webapp exit CODE                exit with the code
webapp echo WORD...             print the words
webapp stderr WORD...           print the words to stderr
webapp stdin-cat                copy stdin to stdout
webapp tty-size                 print rows and columns of the terminal on stdin
webapp id                       print uid, gid, groups and capabilities
webapp lines COUNT [MILLIS]     print numbered lines, with a pause between them
webapp fill MB                  allocate and touch memory, then wait
webapp listen PORT              answer every TCP connection with its peer's address
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        [] | ["serve"] => serve::run(),
        ["get", url, flags @ ..] => client::run(url, flags),
        ["resolve", name] => dns::run(name),
        ["help" | "--help" | "-h"] => tools::print(HELP),
        [tool, arguments @ ..] => tools::run(tool, arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("webapp: {error}");
            ExitCode::FAILURE
        }
    }
}
