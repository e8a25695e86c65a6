//! How bad the road between a component and the API is.

use crate::rng::Rng;

/// Chances are of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A request does not reach the server.
    pub lose_request: u64,
    /// It happens, and the answer is lost.
    pub lose_answer: u64,
    /// It happens after the client has given up.
    pub late: u64,
    /// A watch delivers nothing for many seconds.
    pub stall: u64,
    /// A watch breaks off after a delivery.
    pub cut: u64,
    /// A watch ends as expired, so that everything is listed again.
    pub expire: u64,
    /// The longest usual delay of a message, in milliseconds.
    pub delay_ms: i64,
    /// Per minute: crashes of a component, of the API server, of a machine.
    pub crashes: u64,
    pub server_crashes: u64,
    pub machine_crashes: u64,
    /// Per minute: partitions of a node.
    pub partitions: u64,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Faults { delay_ms: 20, ..Faults::default() }
    }

    /// Each kind of fault is absent, rare or frequent, so that runs differ in kind and not only in luck.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let mut level = |levels: [u64; 4]| levels[usize::try_from(rng.below(4)).unwrap_or(0)];
        Faults {
            lose_request: level([0, 5, 30, 120]),
            lose_answer: level([0, 5, 30, 120]),
            late: level([0, 0, 5, 40]),
            stall: level([0, 5, 20, 60]),
            cut: level([0, 2, 10, 50]),
            expire: level([0, 0, 5, 20]),
            delay_ms: i64::try_from(level([5, 50, 300, 1500])).unwrap_or(5),
            crashes: level([0, 200, 600, 1500]),
            server_crashes: level([0, 0, 200, 500]),
            machine_crashes: level([0, 0, 300, 600]),
            partitions: level([0, 0, 300, 600]),
        }
    }

    /// The same road, on which no node fails.
    #[must_use]
    pub fn without_node_failures(self) -> Self {
        Faults { machine_crashes: 0, partitions: 0, ..self }
    }
}
