//! The times of a schedule.
// k8s: robfig/cron v3 spec.go, constantdelay.go

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Set in a field that was written with a star: then both fields of days must match.
pub(super) const STAR: u64 = 1 << 63;
const DAY: i64 = 86_400;
/// A schedule that has no time within so many years has none.
const YEARS_LIMIT: i16 = 5;

/// When something is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    Fields(Fields),
    /// So many seconds after the last time; at least 1.
    Every(i64),
}

/// The numbers that each field allows, as bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    pub(super) minute: u64,
    pub(super) hour: u64,
    pub(super) day_of_month: u64,
    pub(super) month: u64,
    pub(super) day_of_week: u64,
    pub(super) zone: TimeZone,
}

impl Schedule {
    /// The first time later than `t`; `None` when there is none in the coming years.
    #[must_use]
    pub fn next(&self, t: Timestamp) -> Option<Timestamp> {
        let at = t.as_second() - i64::from(t.subsec_nanosecond() < 0);
        let next = match self {
            Schedule::Every(delay) => at.checked_add(*delay)?,
            Schedule::Fields(fields) => fields.next(at)?,
        };
        Timestamp::from_second(next).ok()
    }

    /// The last time later than `t` and not later than `until`, found in few steps however many lie between.
    #[must_use]
    pub fn last(&self, t: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let first = self.next(t).filter(|f| *f <= until)?;
        if let Schedule::Every(delay) = self {
            let more = (until.as_second() - first.as_second()) / delay;
            return Timestamp::from_second(first.as_second() + more * delay).ok();
        }
        // The later one looks from, the later is what comes next.
        let (mut low, mut high, mut found) = (first.as_second(), until.as_second(), first);
        while low < high {
            let middle = low + (high - low).div_euclid(2);
            match Timestamp::from_second(middle).ok().and_then(|m| self.next(m)).filter(|n| *n <= until) {
                Some(next) => (low, found) = (next.as_second().max(middle + 1), next.max(found)),
                None => high = middle,
            }
        }
        Some(found)
    }
}

/// Local time as if it were UTC, in seconds, taken apart.
fn parts(local: i64) -> Option<DateTime> {
    Some(jiff::tz::Offset::UTC.to_datetime(Timestamp::from_second(local).ok()?))
}

fn has(bits: u64, n: i8) -> bool {
    bits & 1_u64.checked_shl(u32::from(n.unsigned_abs())).unwrap_or(0) != 0
}

impl Fields {
    fn offset(&self, at: i64) -> i64 {
        let Ok(t) = Timestamp::from_second(at) else { return 0 };
        i64::from(self.zone.to_offset(t).seconds())
    }

    fn local(&self, at: i64) -> i64 {
        at + self.offset(at)
    }

    /// The instant of a local time. Where the clock is changed there is none, or there are two: the choice is that of
    /// Go's time.Date.
    fn instant(&self, local: i64) -> i64 {
        match self.offset(local) {
            0 => local,
            offset => local - self.offset(local - offset),
        }
    }

    fn day_matches(&self, t: &DateTime) -> bool {
        let month = has(self.day_of_month, t.day());
        let week = has(self.day_of_week, t.weekday().to_sunday_zero_offset());
        if (self.day_of_month | self.day_of_week) & STAR != 0 { month && week } else { month || week }
    }

    fn is_empty(&self) -> bool {
        [self.minute, self.hour, self.day_of_month, self.month, self.day_of_week]
            .iter()
            .any(|bits| bits & !STAR == 0)
    }

    // k8s: robfig/cron v3 spec.go SpecSchedule.Next
    fn next(&self, after: i64) -> Option<i64> {
        if self.is_empty() {
            return None;
        }
        let mut at = after + 1;
        let mut reset = false;
        let last_year = parts(self.local(at))?.year().checked_add(YEARS_LIMIT)?;
        loop {
            if parts(self.local(at))?.year() > last_year {
                return None;
            }
            let found = self.month_from(&mut at, &mut reset)?
                && self.day_from(&mut at, &mut reset)?
                && self.hour_from(&mut at, &mut reset)?
                && self.minute_from(&mut at, &mut reset)?
                && second_from(&mut at);
            if found {
                return Some(at);
            }
        }
    }

    /// Goes to the first month that matches; false when the year has changed, so that all must be looked at again.
    fn month_from(&self, at: &mut i64, reset: &mut bool) -> Option<bool> {
        loop {
            let t = parts(self.local(*at))?;
            if has(self.month, t.month()) {
                return Some(true);
            }
            let clock = if *reset { self.local(*at).rem_euclid(DAY) } else { 0 };
            *reset = true;
            let (year, month) = if t.month() == 12 { (t.year() + 1, 1) } else { (t.year(), t.month() + 1) };
            let first =
                jiff::civil::Date::new(year, month, 1).ok()?.to_datetime(jiff::civil::Time::midnight());
            let first = jiff::tz::Offset::UTC.to_timestamp(first).ok()?.as_second();
            *at = self.instant(first + clock);
            if parts(self.local(*at))?.month() == 1 {
                return Some(false);
            }
        }
    }

    fn day_from(&self, at: &mut i64, reset: &mut bool) -> Option<bool> {
        loop {
            let local = self.local(*at);
            if self.day_matches(&parts(local)?) {
                return Some(true);
            }
            let local = if *reset { local } else { local - local.rem_euclid(DAY) };
            if !*reset {
                *reset = true;
                *at = self.instant(local);
            }
            *at = self.instant(self.local(*at) + DAY);
            // Where there is no midnight.
            let hour = i64::from(parts(self.local(*at))?.hour());
            *at += if hour > 12 { (24 - hour) * 3600 } else { -hour * 3600 };
            if parts(self.local(*at))?.day() == 1 {
                return Some(false);
            }
        }
    }

    fn hour_from(&self, at: &mut i64, reset: &mut bool) -> Option<bool> {
        loop {
            let local = self.local(*at);
            if has(self.hour, parts(local)?.hour()) {
                return Some(true);
            }
            if !*reset {
                *reset = true;
                *at = self.instant(local - local.rem_euclid(3600));
            }
            *at += 3600;
            if parts(self.local(*at))?.hour() == 0 {
                return Some(false);
            }
        }
    }

    fn minute_from(&self, at: &mut i64, reset: &mut bool) -> Option<bool> {
        loop {
            if has(self.minute, parts(self.local(*at))?.minute()) {
                return Some(true);
            }
            if !*reset {
                *reset = true;
                *at -= at.rem_euclid(60);
            }
            *at += 60;
            if parts(self.local(*at))?.minute() == 0 {
                return Some(false);
            }
        }
    }
}

/// Seconds are always 0; false when the minute has changed.
fn second_from(at: &mut i64) -> bool {
    let over = at.rem_euclid(60);
    if over != 0 {
        *at += 60 - over;
    }
    over == 0
}
