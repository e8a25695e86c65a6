use jiff::Timestamp;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn texts() {
    for good in [
        "*/5 * * * *",
        "0 0 1 JAN sun",
        "1-5,7 ? 1/2 * 0-6",
        "@daily",
        "@every 1h30m",
        "TZ=Asia/Tokyo 0 1 * * *",
        "CRON_TZ=UTC @hourly",
    ] {
        assert!(parse(good).is_ok(), "{good}");
    }
    let int = |text: &str| {
        format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")
    };
    let huge = "99999999999999999999";
    let too_big =
        format!("failed to parse int from {huge}: strconv.Atoi: parsing {huge:?}: value out of range");
    let bad = [
        ("", "empty spec string"),
        ("x", "expected exactly 5 fields, found 1: [x]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * foo *", &int("foo")),
        ("-5 * * * *", &int("")),
        ("99999999999999999999 * * * *", &too_big),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("@never", "unrecognized descriptor: @never"),
        ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ("TZ=0", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
        ("TZ=Mars/Base * * * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
    ];
    for (text, why) in bad {
        assert_eq!(parse(text).err().as_deref(), Some(why), "{text}");
    }
}

/// The times after a time, among them those of the library's own tests.
#[test]
fn next_times() {
    for (schedule, from, want) in [
        ("0/15 * * * *", "2012-07-09T14:45:00Z", "2012-07-09T15:00:00Z"),
        ("20-35/15 * * * *", "2012-07-09T23:46:00Z", "2012-07-10T00:20:00Z"),
        ("0 0 9 Apr-Oct ?", "2012-07-09T23:35:00Z", "2012-08-09T00:00:00Z"),
        ("0 0 */5 Apr,Aug,Oct Mon", "2012-07-09T23:35:00Z", "2012-08-01T00:00:00Z"),
        ("0 0 * Feb Mon/2", "2012-07-09T23:35:00Z", "2013-02-01T00:00:00Z"),
        ("0 0 29 Feb ?", "2012-07-09T23:35:00Z", "2016-02-29T00:00:00Z"),
        ("0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"),
        ("* * * * *", "2026-01-01T00:00:59.5Z", "2026-01-01T00:01:00Z"),
        ("@every 5m", "2026-01-01T00:00:10.7Z", "2026-01-01T00:05:10Z"),
        ("@every 1ms", "2026-01-01T00:00:10Z", "2026-01-01T00:00:11Z"),
        ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        // The clock goes forward: that hour is left out, or the day.
        ("TZ=America/New_York 0 * * * ?", "2012-03-11T01:00:00-05:00", "2012-03-11T03:00:00-04:00"),
        ("TZ=America/New_York 30 2 11 Mar ?", "2012-03-11T00:00:00-05:00", "2013-03-11T02:30:00-04:00"),
        // It goes back: hours are met twice.
        ("TZ=America/New_York 0 * * * ?", "2012-11-04T01:00:00-04:00", "2012-11-04T01:00:00-05:00"),
        ("TZ=America/New_York 30 2 04 Nov ?", "2012-11-04T00:00:00-04:00", "2012-11-04T02:30:00-05:00"),
        ("TZ=America/New_York 0 1 * * *", "2012-11-04T01:00:00-04:00", "2012-11-04T01:00:00-05:00"),
        // There is no midnight.
        ("TZ=America/Sao_Paulo 0 0 9 10 ?", "2018-10-17T05:00:00-04:00", "2019-10-09T00:00:00-03:00"),
        ("TZ=America/Sao_Paulo 0 10 4 11 ?", "2018-10-17T05:00:00-04:00", "2018-11-04T10:00:00-02:00"),
        ("TZ=Asia/Kolkata 0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-01T18:30:00Z"),
    ] {
        assert_eq!(parse(schedule).unwrap().next(at(from)), Some(at(want)), "{schedule} after {from}");
    }
    for never in ["0 0 31 2 *", "0 0 30 Feb ?", ", * * * *"] {
        assert_eq!(parse(never).unwrap().next(at("2026-01-01T00:00:00Z")), None, "{never}");
    }
}

#[test]
fn the_last_time_is_that_of_the_long_way() {
    for schedule in
        ["*/7 * * * *", "0 9-17/4 * * 1-5", "@every 7m", "TZ=America/New_York 30 1,2 * * *", "0 0 29 2 *"]
    {
        let s = parse(schedule).unwrap();
        for (from, until) in [
            ("2012-03-09T13:00:00Z", "2012-03-12T03:17:00.5Z"),
            ("2012-11-03T00:00:00Z", "2012-11-05T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:07:00Z"),
        ] {
            let mut long = None;
            let mut t = s.next(at(from));
            while let Some(x) = t.filter(|x| *x <= at(until)) {
                (long, t) = (Some(x), s.next(x));
            }
            assert_eq!(s.last(at(from), at(until)), long, "{schedule} {from} {until}");
        }
    }
}
