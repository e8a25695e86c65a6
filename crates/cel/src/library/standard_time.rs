//! Parts of timestamps and durations.
//! It must never look at a clock.
// k8s: github.com/google/cel-go common/stdlib/standard.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::value::Value;

pub const LIBRARY: Library =
    Library { name: "standard times", functions: FUNCTIONS, macros: &[], types: &[] };

/// Which part.
#[derive(Clone, Copy)]
enum Part {
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "getDate" "timestamp_to_day_of_month_1_based" "timestamp.() -> int" => |_, a| timestamp(a, Part::Date);
    "getDate" "timestamp_to_day_of_month_1_based_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::Date);
    "getDayOfMonth" "timestamp_to_day_of_month" "timestamp.() -> int" => |_, a| timestamp(a, Part::DayOfMonth);
    "getDayOfMonth" "timestamp_to_day_of_month_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::DayOfMonth);
    "getDayOfWeek" "timestamp_to_day_of_week" "timestamp.() -> int" => |_, a| timestamp(a, Part::DayOfWeek);
    "getDayOfWeek" "timestamp_to_day_of_week_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::DayOfWeek);
    "getDayOfYear" "timestamp_to_day_of_year" "timestamp.() -> int" => |_, a| timestamp(a, Part::DayOfYear);
    "getDayOfYear" "timestamp_to_day_of_year_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::DayOfYear);
    "getFullYear" "timestamp_to_year" "timestamp.() -> int" => |_, a| timestamp(a, Part::FullYear);
    "getFullYear" "timestamp_to_year_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::FullYear);
    "getHours" "timestamp_to_hours" "timestamp.() -> int" => |_, a| timestamp(a, Part::Hours);
    "getHours" "timestamp_to_hours_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::Hours);
    "getHours" "duration_to_hours" "duration.() -> int" => |_, a| duration(a, Part::Hours);
    "getMilliseconds" "timestamp_to_milliseconds" "timestamp.() -> int" => |_, a| timestamp(a, Part::Milliseconds);
    "getMilliseconds" "timestamp_to_milliseconds_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::Milliseconds);
    "getMilliseconds" "duration_to_milliseconds" "duration.() -> int" => |_, a| duration(a, Part::Milliseconds);
    "getMinutes" "timestamp_to_minutes" "timestamp.() -> int" => |_, a| timestamp(a, Part::Minutes);
    "getMinutes" "timestamp_to_minutes_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::Minutes);
    "getMinutes" "duration_to_minutes" "duration.() -> int" => |_, a| duration(a, Part::Minutes);
    "getMonth" "timestamp_to_month" "timestamp.() -> int" => |_, a| timestamp(a, Part::Month);
    "getMonth" "timestamp_to_month_with_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::Month);
    "getSeconds" "timestamp_to_seconds" "timestamp.() -> int" => |_, a| timestamp(a, Part::Seconds);
    "getSeconds" "timestamp_to_seconds_tz" "timestamp.(string) -> int" => |_, a| timestamp(a, Part::Seconds);
    "getSeconds" "duration_to_seconds" "duration.() -> int" => |_, a| duration(a, Part::Seconds);
};

/// Months, days of the year and of the month, and weekdays count from 0; `getDate` from 1.
fn timestamp<'a>(args: &[Value<'a>], part: Part) -> Result<Value<'a>, Error> {
    let (at, offset) = match args {
        [Value::Timestamp(t)] => (*t, 0),
        [Value::Timestamp(t), Value::Str(zone)] => (*t, t.offset_in(zone).map_err(Error::new)?),
        _ => return Err(Error::no_such_overload()),
    };
    let c = at.civil(offset);
    Ok(Value::Int(match part {
        Part::FullYear => c.year,
        Part::Month => c.month - 1,
        Part::DayOfYear => c.day_of_year,
        Part::DayOfMonth => c.day - 1,
        Part::Date => c.day,
        Part::DayOfWeek => c.weekday,
        Part::Hours => c.hour,
        Part::Minutes => c.minute,
        Part::Seconds => c.second,
        Part::Milliseconds => i64::from(at.subsec_nanos() / 1_000_000),
    }))
}

/// The whole duration in a unit, without its fraction.
fn duration<'a>(args: &[Value<'a>], part: Part) -> Result<Value<'a>, Error> {
    let [Value::Duration(d)] = args else { return Err(Error::no_such_overload()) };
    let unit = match part {
        Part::Hours => 3_600_000_000_000,
        Part::Minutes => 60_000_000_000,
        Part::Seconds => 1_000_000_000,
        Part::Milliseconds => 1_000_000,
        _ => return Err(Error::no_such_overload()),
    };
    Ok(Value::Int(d.nanos() / unit))
}
