//! When probes run and what their results mean. Pure; running them is the shell's work.
// k8s: pkg/kubelet/prober/worker.go

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Probe};

/// The three probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    /// As messages name it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }
}

/// What one probe run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Success,
    Failure(String),
    /// The probe itself could not run; counts as nothing for liveness and startup, as failure for readiness.
    Error(String),
}

/// The probe of that kind.
#[must_use]
pub fn probe_of(container: &Container, kind: Kind) -> Option<&Probe> {
    match kind {
        Kind::Startup => container.startup_probe.as_ref(),
        Kind::Liveness => container.liveness_probe.as_ref(),
        Kind::Readiness => container.readiness_probe.as_ref(),
    }
}

/// The state of one probe of one container instance.
#[derive(Clone, Debug)]
pub struct State {
    /// The container instance.
    pub id: String,
    pub kind: Kind,
    due: Timestamp,
    period: SignedDuration,
    success_threshold: u32,
    failure_threshold: u32,
    successes: u32,
    failures: u32,
    /// The result in force.
    pub ok: bool,
    /// Whether thresholds were reached since the start.
    pub decided: bool,
}

fn secs(v: Option<i32>, default: i32) -> i32 {
    v.filter(|v| *v > 0).unwrap_or(default)
}

impl State {
    /// For a container instance that started at `started`.
    #[must_use]
    pub fn new(id: &str, kind: Kind, probe: &Probe, started: Timestamp) -> Self {
        let delay = SignedDuration::from_secs(i64::from(probe.initial_delay_seconds.unwrap_or(0).max(0)));
        State {
            id: id.to_owned(),
            kind,
            due: started.saturating_add(delay).unwrap_or(Timestamp::MAX),
            period: SignedDuration::from_secs(i64::from(secs(probe.period_seconds, 10))),
            success_threshold: secs(probe.success_threshold, 1).unsigned_abs(),
            failure_threshold: secs(probe.failure_threshold, 3).unsigned_abs(),
            successes: 0,
            failures: 0,
            ok: kind == Kind::Liveness,
            decided: false,
        }
    }

    /// When the next run is due.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// Notes that a run begins now.
    pub fn begin(&mut self, now: Timestamp) {
        self.due = now.saturating_add(self.period).unwrap_or(Timestamp::MAX);
    }

    /// Takes a result; true when the result in force changed or was decided first.
    pub fn take(&mut self, verdict: &Verdict) -> bool {
        let success = match verdict {
            Verdict::Success => true,
            Verdict::Failure(_) => false,
            Verdict::Error(_) => return false,
        };
        if success {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
        }
        let reached = if success {
            self.successes >= self.success_threshold
        } else {
            self.failures >= self.failure_threshold
        };
        if !reached {
            return false;
        }
        let changed = !self.decided || self.ok != success;
        self.decided = true;
        self.ok = success;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: Kind, success: i32, failure: i32, results: &str) -> (bool, bool) {
        let p =
            Probe { success_threshold: Some(success), failure_threshold: Some(failure), ..Probe::default() };
        let mut s = State::new("id", kind, &p, Timestamp::UNIX_EPOCH);
        for r in results.chars() {
            s.take(&match r {
                '+' => Verdict::Success,
                '-' => Verdict::Failure("no".into()),
                _ => Verdict::Error("?".into()),
            });
        }
        (s.ok, s.decided)
    }

    #[test]
    fn thresholds() {
        let cases = [
            (Kind::Readiness, 1, 3, "", (false, false)),
            (Kind::Readiness, 1, 3, "+", (true, true)),
            (Kind::Readiness, 2, 3, "+", (false, false)),
            (Kind::Readiness, 2, 3, "+-+", (false, false)),
            (Kind::Readiness, 1, 3, "+--", (true, true)),
            (Kind::Readiness, 1, 3, "+---", (false, true)),
            (Kind::Readiness, 1, 3, "+-?-?-", (false, true)),
            (Kind::Liveness, 1, 3, "--", (true, false)),
            (Kind::Liveness, 1, 3, "---", (false, true)),
            (Kind::Liveness, 1, 2, "-+-", (true, true)),
            (Kind::Startup, 1, 2, "-+", (true, true)),
        ];
        for (kind, s, f, results, want) in cases {
            assert_eq!(run(kind, s, f, results), want, "{kind:?} {results}");
        }
    }

    #[test]
    fn runs_are_due_by_delay_and_period() {
        let p = Probe { initial_delay_seconds: Some(5), period_seconds: Some(2), ..Probe::default() };
        let mut s = State::new("id", Kind::Readiness, &p, Timestamp::UNIX_EPOCH);
        assert_eq!(s.due().as_second(), 5);
        s.begin(Timestamp::from_second(6).unwrap());
        assert_eq!(s.due().as_second(), 8);
    }
}
