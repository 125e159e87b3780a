//! Cron expressions of AWS's form: six fields, from minutes to years, and the minutes that they name.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-using-cron-expressions.html>

use std::collections::BTreeSet;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use model::{Cron, DayOfMonth, DayOfWeek};
use stdx::Timestamp;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
/// Sunday is 1.
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// One field: its name, its range, and the words that stand for its numbers from the first on.
struct Field {
    name: &'static str,
    first: u16,
    last: u16,
    words: &'static [&'static str],
}

const MINUTES: Field = Field { name: "minutes", first: 0, last: 59, words: &[] };
const HOURS: Field = Field { name: "hours", first: 0, last: 23, words: &[] };
const DAYS: Field = Field { name: "day-of-month", first: 1, last: 31, words: &[] };
const MONTH: Field = Field { name: "month", first: 1, last: 12, words: &MONTHS };
const WEEKDAY: Field = Field { name: "day-of-week", first: 1, last: 7, words: &WEEKDAYS };
const UNIX_WEEKDAY: Field = Field { name: "day of the week", first: 0, last: 7, words: &WEEKDAYS };
const YEARS: Field = Field { name: "year", first: 1970, last: 2199, words: &[] };

/// Reads the six fields of `cron(…)`.
///
/// # Errors
///
/// What is wrong and what would be right, as the rest of a sentence.
pub(super) fn parse(text: &str) -> Result<Cron, String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [minutes, hours, days, months, weekdays, years] = fields[..] else {
        return Err(format!(
            "it has {} fields and needs six: minutes, hours, day-of-month, month, day-of-week, year",
            fields.len()
        ));
    };
    let cron = Cron {
        minutes: small(&MINUTES, minutes)?,
        hours: small(&HOURS, hours)?,
        days: days_of_month(days)?,
        months: small(&MONTH, months)?,
        weekdays: days_of_week(weekdays)?,
        years: YEARS.numbers(years)?,
    };
    match (&cron.days, &cron.weekdays) {
        (Some(_), Some(_)) => Err("one of day-of-month and day-of-week must be ?".to_owned()),
        (None, None) => Err("only one of day-of-month and day-of-week may be ?".to_owned()),
        _ => Ok(cron),
    }
}

/// Reads five fields as Unix has them: minutes, hours, day of the month, month, and day of the week,
/// of which 0 and 7 are Sunday. Where both days are named, either is enough.
///
/// # Errors
///
/// What is wrong and what would be right, as the rest of a sentence.
pub(super) fn parse_five(text: &str) -> Result<Cron, String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields[..] else {
        return Err(format!(
            "it has {} fields and needs five: minutes, hours, day of the month, month, day of the \
             week",
            fields.len()
        ));
    };
    let of_month = small(&DAYS, days)?.into_iter().map(DayOfMonth::Day).collect();
    // 7 is the other name of 0; days of the week are counted from 1 inside.
    let of_week = small(&UNIX_WEEKDAY, weekdays)?;
    let of_week = of_week.into_iter().map(|day| DayOfWeek::Each(day % 7 + 1)).collect();
    Ok(Cron {
        minutes: small(&MINUTES, minutes)?,
        hours: small(&HOURS, hours)?,
        // A day that is left open does not name every day when the other is given.
        days: (days != "*" || weekdays == "*").then_some(of_month),
        months: small(&MONTH, months)?,
        weekdays: (weekdays != "*").then_some(of_week),
        years: YEARS.numbers("*")?,
    })
}

fn small(field: &Field, text: &str) -> Result<BTreeSet<u8>, String> {
    Ok(field.numbers(text)?.into_iter().filter_map(|n| u8::try_from(n).ok()).collect())
}

impl Field {
    fn bad(&self, part: &str) -> String {
        let Self { name, first, last, .. } = self;
        format!("\"{part}\" is not a value of its {name} field, which goes from {first} to {last}")
    }

    fn number(&self, text: &str) -> Result<u16, String> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let number = match word {
            Some(at) => u16::try_from(at).ok().map(|at| at + self.first),
            None => text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit())),
        };
        number.filter(|n| (self.first..=self.last).contains(n)).ok_or_else(|| self.bad(text))
    }

    /// `*`, numbers, ranges and steps, in a list.
    fn numbers(&self, text: &str) -> Result<BTreeSet<u16>, String> {
        let mut all = BTreeSet::new();
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                None => (part, None),
                Some((range, step)) => {
                    let step = step.parse::<u16>().ok().filter(|step| *step > 0);
                    (range, Some(step.ok_or_else(|| self.bad(part))?))
                }
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.first, self.last),
                Some((from, to)) => (self.number(from)?, self.number(to)?),
                // `5/10` goes on to the end.
                None => {
                    let from = self.number(range)?;
                    (from, if step.is_some() { self.last } else { from })
                }
            };
            let step = usize::from(step.unwrap_or(1));
            if from <= to {
                all.extend((from..=to).step_by(step));
            } else {
                // `FRI-MON` goes over the end.
                all.extend((from..=self.last).chain(self.first..=to).step_by(step));
            }
        }
        Ok(all)
    }

    fn day(&self, text: &str) -> Result<u8, String> {
        self.number(text).and_then(|n| u8::try_from(n).map_err(|_| self.bad(text)))
    }
}

fn days_of_month(text: &str) -> Result<Option<BTreeSet<DayOfMonth>>, String> {
    if text == "?" {
        return Ok(None);
    }
    let mut days = BTreeSet::new();
    for part in text.split(',') {
        match part {
            "L" => _ = days.insert(DayOfMonth::Last),
            "LW" => _ = days.insert(DayOfMonth::LastWeekday),
            _ => match part.strip_suffix('W') {
                Some(day) => _ = days.insert(DayOfMonth::WeekdayNear(DAYS.day(day)?)),
                None => days.extend(small(&DAYS, part)?.into_iter().map(DayOfMonth::Day)),
            },
        }
    }
    Ok(Some(days))
}

fn days_of_week(text: &str) -> Result<Option<BTreeSet<DayOfWeek>>, String> {
    if text == "?" {
        return Ok(None);
    }
    let mut days = BTreeSet::new();
    for part in text.split(',') {
        if part == "L" {
            // Alone it is the last day of the week.
            days.insert(DayOfWeek::Each(7));
        } else if let Some((day, nth)) = part.split_once('#') {
            let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
            let nth = nth.ok_or_else(|| WEEKDAY.bad(part))?;
            days.insert(DayOfWeek::Nth(WEEKDAY.day(day)?, nth));
        } else if let Some(day) = part.strip_suffix('L') {
            days.insert(DayOfWeek::Last(WEEKDAY.day(day)?));
        } else {
            days.extend(small(&WEEKDAY, part)?.into_iter().map(DayOfWeek::Each));
        }
    }
    Ok(Some(days))
}

/// The first instant after `after` that the expression names in a time zone. A minute that a clock
/// change leaves out is taken as much later; one that comes twice counts the first time.
pub(super) fn next(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let from = jiff::Timestamp::from_millisecond(after.as_millis()).ok()?;
    let mut date = zone.to_datetime(from).date();
    let last = Date::new(i16::try_from(*cron.years.last()?).ok()?, 12, 31).ok()?;
    while date <= last {
        let year = u16::try_from(date.year()).unwrap_or(0);
        if !cron.years.contains(&year) {
            date = Date::new(date.year().checked_add(1)?, 1, 1).ok()?;
            continue;
        }
        if !cron.months.contains(&u8::try_from(date.month()).unwrap_or(0)) {
            date = date.last_of_month().tomorrow().ok()?;
            continue;
        }
        if names_day(cron, date)
            && let Some(found) = on_day(cron, zone, date, after)
        {
            return Some(found);
        }
        date = date.tomorrow().ok()?;
    }
    None
}

/// The first instant of a day that is after `after`.
fn on_day(cron: &Cron, zone: &TimeZone, date: Date, after: Timestamp) -> Option<Timestamp> {
    let mut best: Option<(jiff::Timestamp, DateTime)> = None;
    for (hour, minute) in cron.hours.iter().flat_map(|h| cron.minutes.iter().map(move |m| (*h, *m)))
    {
        let time = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
        let civil = date.to_datetime(time);
        // What a clock change moved may come after what follows it on the page.
        if best.is_some_and(|(_, shown)| civil > shown) {
            break;
        }
        let Ok(instant) = zone.to_timestamp(civil) else { continue };
        if instant.as_millisecond() > after.as_millis()
            && best.is_none_or(|(before, _)| instant < before)
        {
            best = Some((instant, zone.to_datetime(instant)));
        }
    }
    best.map(|(instant, _)| Timestamp::from_millis(instant.as_millisecond()))
}

fn names_day(cron: &Cron, date: Date) -> bool {
    let by_month = || cron.days.iter().flatten().any(|day| is_day_of_month(*day, date));
    by_month() || cron.weekdays.iter().flatten().any(|day| is_day_of_week(*day, date))
}

fn is_day_of_month(day: DayOfMonth, date: Date) -> bool {
    match day {
        DayOfMonth::Day(day) => i8::try_from(day) == Ok(date.day()),
        DayOfMonth::Last => date == date.last_of_month(),
        DayOfMonth::WeekdayNear(day) => {
            let wanted = i8::try_from(day).ok();
            let wanted = wanted.and_then(|day| Date::new(date.year(), date.month(), day).ok());
            wanted.is_some_and(|wanted| weekday_near(wanted) == date)
        }
        DayOfMonth::LastWeekday => weekday_near(date.last_of_month()) == date,
    }
}

/// The weekday nearest to a date in its month.
fn weekday_near(date: Date) -> Date {
    let by = match date.weekday() {
        Weekday::Saturday if date.day() == 1 => 2,
        Weekday::Saturday => -1,
        Weekday::Sunday if date == date.last_of_month() => -2,
        Weekday::Sunday => 1,
        _ => 0,
    };
    date.checked_add(by.days()).unwrap_or(date)
}

fn is_day_of_week(day: DayOfWeek, date: Date) -> bool {
    let is = |day: u8| i8::try_from(day) == Ok(date.weekday().to_sunday_one_offset());
    match day {
        DayOfWeek::Each(day) => is(day),
        DayOfWeek::Last(day) => is(day) && date.day() + 7 > date.last_of_month().day(),
        DayOfWeek::Nth(day, nth) => {
            is(day) && u8::try_from((date.day() - 1) / 7 + 1).is_ok_and(|week| week == nth)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    /// The next instants after a time, as texts.
    fn series(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = parse(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
        let zone = super::super::schedule::zone(zone).unwrap();
        let mut now = at(after);
        let mut all = Vec::new();
        while all.len() < count {
            let Some(next) = next(&cron, &zone, now) else { break };
            assert!(next > now);
            all.push(next.rfc3339().replace(":00.000Z", "").replace('T', " "));
            now = next;
        }
        all
    }

    #[test]
    fn minutes_are_found() {
        // 2026-11-22 is a Sunday.
        let now = "2026-11-22T14:30:57Z";
        for (expression, expected) in [
            ("15 10 * * ? *", ["2026-11-23 10:15", "2026-11-24 10:15", "2026-11-25 10:15"]),
            ("0/15 14 22 11 ? 2026", ["2026-11-22 14:45", "", ""]),
            ("*/20 * * * ? *", ["2026-11-22 14:40", "2026-11-22 15:00", "2026-11-22 15:20"]),
            ("0 18 ? * MON-FRI *", ["2026-11-23 18:00", "2026-11-24 18:00", "2026-11-25 18:00"]),
            ("0 18 ? * FRI-MON *", ["2026-11-22 18:00", "2026-11-23 18:00", "2026-11-27 18:00"]),
            ("0 9 ? * 2#1 *", ["2026-12-07 09:00", "2027-01-04 09:00", "2027-02-01 09:00"]),
            ("0 9 ? * 6L *", ["2026-11-27 09:00", "2026-12-25 09:00", "2027-01-29 09:00"]),
            ("0 9 ? * L *", ["2026-11-28 09:00", "2026-12-05 09:00", "2026-12-12 09:00"]),
            ("0 9 L * ? *", ["2026-11-30 09:00", "2026-12-31 09:00", "2027-01-31 09:00"]),
            // 2026-08-01 is a Saturday, 2027-02-28 a Sunday.
            ("0 9 LW FEB ? *", ["2027-02-26 09:00", "2028-02-29 09:00", "2029-02-28 09:00"]),
            ("0 9 1W AUG ? *", ["2027-08-02 09:00", "2028-08-01 09:00", "2029-08-01 09:00"]),
            ("0 0 29 2 ? *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
            ("30 8 1,15 jan,JUL ? *", ["2027-01-01 08:30", "2027-01-15 08:30", "2027-07-01 08:30"]),
            ("59 23 31 12 ? 2198/1", ["2198-12-31 23:59", "2199-12-31 23:59", ""]),
        ] {
            let expected: Vec<&str> = expected.into_iter().filter(|e| !e.is_empty()).collect();
            assert_eq!(series(expression, "UTC", now, 3), expected, "{expression}");
        }
    }

    #[test]
    fn clock_changes_leave_no_day_out_and_double_none() {
        // Berlin: 02:30 does not exist on 2027-03-28 and comes twice on 2027-10-31.
        assert_eq!(
            series("30 2 * * ? *", "Europe/Berlin", "2027-03-27T00:00:00Z", 3),
            ["2027-03-27 01:30", "2027-03-28 01:30", "2027-03-29 00:30"]
        );
        assert_eq!(
            series("30 2 * * ? *", "Europe/Berlin", "2027-10-30T12:00:00Z", 2),
            ["2027-10-31 00:30", "2027-11-01 01:30"]
        );
        // 02:50 is shown as 03:50, after 03:10.
        assert_eq!(
            series("10,50 2,3 28 3 ? 2027", "Europe/Berlin", "2027-03-28T00:00:00Z", 9),
            ["2027-03-28 01:10", "2027-03-28 01:50"]
        );
        assert_eq!(
            series("0 9 ? * MON *", "America/New_York", "2026-11-22T00:00:00Z", 1),
            ["2026-11-23 14:00"]
        );
    }

    #[test]
    fn what_is_not_such_an_expression_is_refused() {
        for (expression, why) in [
            ("* * * * *", "has 5 fields"),
            ("* * * * * *", "must be ?"),
            ("* * ? * ? *", "only one of"),
            ("60 * * * ? *", "\"60\""),
            ("* 24 * * ? *", "\"24\""),
            ("* * 0 * ? *", "\"0\""),
            ("* * 32W * ? *", "\"32\""),
            ("* * * 13 ? *", "\"13\""),
            ("* * ? * 8 *", "\"8\""),
            ("* * ? * 2#6 *", "\"2#6\""),
            ("* * ? * MOO *", "\"MOO\""),
            ("* * * * ? 1969", "\"1969\""),
            ("*/0 * * * ? *", "\"*/0\""),
            ("1- * * * ? *", "\"\""),
            ("+5 * * * ? *", "\"+5\""),
            (", * * * ? *", "\"\""),
        ] {
            let refusal = parse(expression).unwrap_err();
            assert!(refusal.contains(why), "{expression}: {refusal}");
        }
    }

    #[test]
    fn a_day_that_never_comes_ends_the_search() {
        let cron = parse("0 0 30 2 ? *").unwrap();
        assert_eq!(next(&cron, &TimeZone::UTC, Timestamp::EPOCH), None);
    }
}
