//! A fault's rule, and its text form: `API:EFFECT[WHEN]`, for example `Produce:drop@3` (the third), `Fetch:delay=50ms/10` (every tenth),
//! `*:close-after%0.01` (one of a hundred, by chance), `Metadata:reject=5` (always, with that error code).

use std::str::FromStr;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;

/// What happens to which requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// The API whose requests are meant; `None` means all.
    pub api: Option<ApiKey>,
    /// Which of them.
    pub when: When,
    /// What happens.
    pub effect: Effect,
}

/// Which of an API's requests a rule means, counted since the rule was set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Each of them.
    Always,
    /// The n-th only; the first is 1.
    Nth(u64),
    /// Each n-th.
    Every(u64),
    /// Each with this probability, from 0 to 1.
    Chance(f64),
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It waits before it is executed, and all behind it on its connection wait too.
    Delay(Duration),
    /// It is lost: neither executed nor answered.
    Drop,
    /// It is not executed, and refused with this Kafka error code.
    Reject(i16),
    /// It is executed twice; the second answer is sent.
    Duplicate,
    /// Its connection is closed and it is not executed.
    CloseBefore,
    /// It is executed, and its connection is closed in place of an answer.
    CloseAfter,
}

/// A rule that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the fault rule {text:?} can't be read: {reason}; expected API:EFFECT[WHEN], for example Produce:drop@3 or *:delay=50ms%0.1"
)]
pub struct RuleError {
    text: String,
    reason: &'static str,
}

impl When {
    pub(super) fn holds(self, seen: u64, random: impl FnOnce() -> f64) -> bool {
        match self {
            Self::Always => true,
            Self::Nth(nth) => seen == nth,
            Self::Every(step) => seen.is_multiple_of(step),
            Self::Chance(chance) => random() < chance,
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        read(text).map_err(|reason| RuleError { text: text.to_owned(), reason })
    }
}

fn read(text: &str) -> Result<Rule, &'static str> {
    let (api, rest) = text.split_once(':').ok_or("it has no colon")?;
    let (effect, when) = rest.find(['@', '/', '%']).map_or((rest, ""), |at| rest.split_at(at));
    Ok(Rule { api: read_api(api)?, when: read_when(when)?, effect: read_effect(effect)? })
}

/// An API by its name as Kafka writes it, or `*` for all.
fn read_api(name: &str) -> Result<Option<ApiKey>, &'static str> {
    if name == "*" {
        return Ok(None);
    }
    let named = |key: &ApiKey| format!("{key:?}").eq_ignore_ascii_case(name);
    ApiKey::iter().find(named).map(Some).ok_or("no API has that name")
}

fn read_when(text: &str) -> Result<When, &'static str> {
    let Some(sign) = text.chars().next() else { return Ok(When::Always) };
    let value = &text[1..];
    match sign {
        '@' => Ok(When::Nth(read_count(value)?)),
        '/' => Ok(When::Every(read_count(value)?)),
        _ => {
            value.parse().ok().filter(|chance| (0.0..=1.0).contains(chance)).map(When::Chance).ok_or("chance is 0 to 1")
        }
    }
}

fn read_count(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|count| *count > 0).ok_or("a count is a number from 1 on")
}

fn read_effect(text: &str) -> Result<Effect, &'static str> {
    match text.split_once('=') {
        Some(("delay", time)) => time
            .strip_suffix("ms")
            .and_then(|ms| ms.parse().ok())
            .map(|ms| Effect::Delay(Duration::from_millis(ms)))
            .ok_or("a delay is a number of milliseconds, such as 50ms"),
        Some(("reject", code)) => code.parse().map(Effect::Reject).map_err(|_| "an error code is a number"),
        None if text == "drop" => Ok(Effect::Drop),
        None if text == "duplicate" => Ok(Effect::Duplicate),
        None if text == "close-before" => Ok(Effect::CloseBefore),
        None if text == "close-after" => Ok(Effect::CloseAfter),
        _ => Err("no effect has that name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let read = |text: &str| text.parse::<Rule>().unwrap();
        let produce = Some(ApiKey::Produce);
        assert_eq!(read("produce:drop@3"), Rule { api: produce, when: When::Nth(3), effect: Effect::Drop });
        let delay = Effect::Delay(Duration::from_millis(50));
        assert_eq!(read("*:delay=50ms%0.25"), Rule { api: None, when: When::Chance(0.25), effect: delay });
        assert_eq!(read("Produce:reject=-1"), Rule { api: produce, when: When::Always, effect: Effect::Reject(-1) });
    }

    #[test]
    fn a_mistake_is_named() {
        for wrong in ["drop", "Nothing:drop", "*:explode", "*:drop@0", "*:drop%2", "*:delay=5"] {
            let error = wrong.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
