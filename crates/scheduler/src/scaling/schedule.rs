//! Schedules: `at(…)`, `rate(…)` and `cron(…)`, and when they are due.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-scheduled-scaling.html>
//!
//! Time zones are those of the IANA database in this build, whatever the machine has: the same
//! schedule is due at the same instants everywhere.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{Schedule, ScheduledAction};
use stdx::Timestamp;

use super::cron;

const UTC: &str = "UTC";

/// A time zone by its IANA name.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    if name == UTC {
        return Some(TimeZone::UTC);
    }
    // `jiff` also takes offsets and POSIX rules elsewhere; the database has names only.
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

/// Reads a schedule.
///
/// # Errors
///
/// A sentence that says what is wrong and what would be right.
pub fn parse_schedule(expression: &str, zone_name: Option<&str>) -> Result<Schedule, String> {
    let name = zone_name.unwrap_or(UTC);
    let zone = zone(name).ok_or_else(|| {
        format!(
            "{name} is not a time zone; use a name of the IANA database, such as Europe/Berlin."
        )
    })?;
    let inner = |kind: &str| {
        expression.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')').map(str::trim)
    };
    let bad = |why: &str| format!("Invalid schedule expression: {expression}: {why}.");
    if let Some(text) = inner("at") {
        let form = "at(yyyy-mm-ddThh:mm:ss) is the form";
        let civil = text.parse::<DateTime>().ok().filter(|_| text.len() == 19);
        let instant = civil.and_then(|civil| zone.to_timestamp(civil).ok());
        let instant = instant.ok_or_else(|| bad(form))?;
        Ok(Schedule::At(Timestamp::from_millis(instant.as_millisecond())))
    } else if let Some(text) = inner("rate") {
        rate(text).map(Schedule::Every).map_err(|why| bad(&why))
    } else if let Some(text) = inner("cron") {
        cron::parse(text).map(|cron| Schedule::Cron(Box::new(cron))).map_err(|why| bad(&why))
    } else {
        Err(bad("at(…), rate(…) and cron(…) are the forms"))
    }
}

/// `5 minutes`, `1 hour`, `2 days`.
fn rate(text: &str) -> Result<Duration, String> {
    let form = "rate(value unit) is the form, with minute, minutes, hour, hours, day or days as the \
                unit, and a value of at least 1";
    let (value, unit) = text.split_once(' ').ok_or(form)?;
    let value = value.parse::<u32>().ok().filter(|value| *value > 0).ok_or(form)?;
    let seconds: u64 = match (unit.trim(), value) {
        ("minute", 1) | ("minutes", _) => 60,
        ("hour", 1) | ("hours", _) => 3600,
        ("day", 1) | ("days", _) => 86_400,
        _ => return Err(form.to_owned()),
    };
    Ok(Duration::from_secs(u64::from(value) * seconds))
}

/// A schedule with what bounds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calendar<'a> {
    /// When.
    pub(crate) schedule: &'a Schedule,
    /// In which time zone; none is UTC.
    pub(crate) zone: Option<&'a str>,
    /// Not before.
    pub(crate) starts: Option<Timestamp>,
    /// Not after.
    pub(crate) ends: Option<Timestamp>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Whatever was due until here has run.
    pub(crate) done_until: Timestamp,
}

/// When an action is due next, or since when it is: the first instant of its schedule that has not
/// run. None if there is none any more.
///
/// What was missed while nobody looked runs once, whatever number of instants it were.
pub fn due(action: &ScheduledAction) -> Option<Timestamp> {
    next(&Calendar {
        schedule: &action.schedule,
        zone: action.zone.as_deref(),
        starts: action.starts,
        ends: action.ends,
        created_at: action.created_at,
        done_until: action.done_until,
    })
}

/// The first instant that has not run: see [`due`].
pub(crate) fn next(calendar: &Calendar<'_>) -> Option<Timestamp> {
    let done = calendar.done_until;
    let before_start = calendar.starts.map(|at| at - Duration::from_millis(1));
    let after = before_start.map_or(done, |at| at.max(done));
    let next = match calendar.schedule {
        Schedule::At(at) => (*at > after).then_some(*at),
        Schedule::Every(period) => Some(next_beat(calendar, *period, after)),
        Schedule::Cron(cron) => cron::next(cron, &zone(calendar.zone.unwrap_or(UTC))?, after),
    };
    next.filter(|at| calendar.ends.is_none_or(|end| *at <= end))
}

/// A rate beats from its start on, or from a period after it was made.
fn next_beat(calendar: &Calendar<'_>, period: Duration, after: Timestamp) -> Timestamp {
    let first = calendar.starts.unwrap_or(calendar.created_at + period);
    if after < first {
        return first;
    }
    let period = period.as_millis().max(1);
    let beats = after.since(first).as_millis() / period + 1;
    first + Duration::from_millis(u64::try_from(beats * period).unwrap_or(u64::MAX))
}

/// Reads the recurrence of a group's scheduled action: five fields, as `cron` has them.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/scheduled-scaling-recurring-schedules.html>
///
/// # Errors
///
/// A sentence that says what is wrong and what would be right.
pub fn parse_recurrence(expression: &str, zone_name: Option<&str>) -> Result<Schedule, String> {
    let name = zone_name.unwrap_or(UTC);
    if zone(name).is_none() {
        return Err(format!(
            "{name} is not a time zone; use a name of the IANA database, such as Europe/Berlin."
        ));
    }
    cron::parse_five(expression)
        .map(|cron| Schedule::Cron(Box::new(cron)))
        .map_err(|why| format!("Given recurrence string: {expression} is invalid: {why}."))
}

#[cfg(test)]
mod tests {
    use model::{ScheduledActionKey, ServiceKey};

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn action(expression: &str, zone: Option<&str>) -> ScheduledAction {
        let created_at = at("2026-11-22T14:30:00Z");
        let service = ServiceKey { cluster: "c".into(), service: "web".into() };
        ScheduledAction {
            key: ScheduledActionKey { service, name: "a".into() },
            expression: expression.to_owned(),
            zone: zone.map(str::to_owned),
            schedule: parse_schedule(expression, zone).unwrap(),
            starts: None,
            ends: None,
            min: Some(1),
            max: None,
            created_at,
            done_until: created_at,
        }
    }

    #[test]
    fn each_form_is_due_when_it_says() {
        let berlin = Some("Europe/Berlin");
        for (expression, zone, expected) in [
            ("at(2026-11-23T09:00:00)", None, Some("2026-11-23T09:00:00Z")),
            ("at(2026-11-23T09:00:00)", berlin, Some("2026-11-23T08:00:00Z")),
            ("at(2026-11-22T09:00:00)", None, None),
            ("rate(5 minutes)", None, Some("2026-11-22T14:35:00Z")),
            ("rate(1 day)", None, Some("2026-11-23T14:30:00Z")),
            ("cron(0 9 * * ? *)", berlin, Some("2026-11-23T08:00:00Z")),
        ] {
            assert_eq!(due(&action(expression, zone)), expected.map(at), "{expression}");
        }
    }

    #[test]
    fn bounds_begin_and_end_a_schedule() {
        let mut rate = action("rate(10 minutes)", None);
        rate.starts = Some(at("2026-11-23T00:00:00Z"));
        rate.ends = Some(at("2026-11-23T00:10:00Z"));
        assert_eq!(due(&rate), rate.starts);
        rate.done_until = at("2026-11-23T00:00:01Z");
        assert_eq!(due(&rate), rate.ends);
        rate.done_until = at("2026-11-23T00:10:00Z");
        assert_eq!(due(&rate), None);

        let mut cron = action("cron(0 * * * ? *)", None);
        cron.starts = Some(at("2026-11-23T09:00:00Z"));
        assert_eq!(due(&cron), cron.starts);
    }

    #[test]
    fn what_was_missed_is_due_once() {
        let mut rate = action("rate(1 minute)", None);
        let now = at("2026-11-22T18:00:30Z");
        assert!(due(&rate).is_some_and(|at| at < now));
        rate.done_until = now;
        assert_eq!(due(&rate), Some(at("2026-11-22T18:01:00Z")));
    }

    #[test]
    fn what_is_not_a_schedule_is_refused_with_a_reason() {
        for (expression, zone, why) in [
            ("tomorrow", None, "are the forms"),
            ("at(tomorrow)", None, "yyyy-mm-dd"),
            ("at(2026-11-23)", None, "yyyy-mm-dd"),
            ("at(2026-02-30T00:00:00)", None, "yyyy-mm-dd"),
            ("at(2026-11-23T09:00:00Z)", None, "yyyy-mm-dd"),
            ("rate(0 minutes)", None, "at least 1"),
            ("rate(5 minute)", None, "at least 1"),
            ("rate(5)", None, "at least 1"),
            ("rate(5 weeks)", None, "at least 1"),
            ("cron(* * * * *)", None, "six"),
            ("cron(0 9 * * ? *", None, "are the forms"),
            ("rate(1 minute)", Some("Mars/Olympus"), "not a time zone"),
            ("rate(1 minute)", Some("+01:00"), "not a time zone"),
        ] {
            let refusal = parse_schedule(expression, zone).unwrap_err();
            assert!(refusal.contains(why), "{expression}: {refusal}");
        }
    }
}
