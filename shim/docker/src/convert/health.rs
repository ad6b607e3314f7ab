//! Health checks: the client's over the image's, checked with Docker's words, and what inspect shows of them.

use gantry_model::policy::{Health, HealthSpec, HealthStatus};
use serde_json::{Map, Value, json};

use super::body::Healthcheck;
use crate::response::Failure;

/// Nanoseconds of the shortest span that may be asked for.
const SHORTEST: i64 = 1_000_000;

/// What dockerd says of a check that makes no sense.
///
/// # Errors
/// 400 in its words.
pub(crate) fn check(asked: &Healthcheck) -> Result<(), Failure> {
    let spans = [
        ("Interval", asked.interval),
        ("Timeout", asked.timeout),
        ("StartPeriod", asked.start_period),
        ("StartInterval", asked.start_interval),
    ];
    for (at, (name, span)) in spans.into_iter().enumerate() {
        // dockerd looks at the retries third.
        if at == 2 && asked.retries < 0 {
            return Err(Failure::bad_request(
                "Retries in Healthcheck cannot be negative",
            ));
        }
        if span != 0 && span < SHORTEST {
            return Err(Failure::bad_request(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    Ok(())
}

/// The client's check with what it does not say taken from the image's (raw JSON, may be empty).
pub(crate) fn merged(asked: Option<&Healthcheck>, image: &str) -> Option<Healthcheck> {
    let image = serde_json::from_str::<Value>(image)
        .ok()
        .and_then(|raw| super::body::read::<Option<Healthcheck>>(raw).ok())
        .flatten();
    let (Some(asked), Some(image)) = (asked, &image) else {
        return asked.cloned().or(image);
    };
    let or = |ours: i64, theirs: i64| if ours == 0 { theirs } else { ours };
    Some(Healthcheck {
        test: if asked.test.is_empty() {
            image.test.clone()
        } else {
            asked.test.clone()
        },
        interval: or(asked.interval, image.interval),
        timeout: or(asked.timeout, image.timeout),
        start_period: or(asked.start_period, image.start_period),
        start_interval: or(asked.start_interval, image.start_interval),
        retries: or(asked.retries, image.retries),
    })
}

/// As the model has it: always said, so that nobody asks the image again. `shell` is the container's own, if it has
/// one. With it a warning when there is no probe because nobody knows what the test means.
pub(crate) fn spec(check: &Healthcheck, shell: &[String]) -> (HealthSpec, Option<String>) {
    let mut warning = None;
    let command = match check.test.split_first() {
        None => Vec::new(),
        Some((kind, _)) if kind == "NONE" => Vec::new(),
        Some((kind, words)) if kind == "CMD" || kind == "CMD-SHELL" => {
            if words.is_empty() {
                warning = Some("the health check has no command: there is none".to_owned());
                Vec::new()
            } else if kind == "CMD" {
                words.to_vec()
            } else if shell.is_empty() {
                let sh = ["/bin/sh", "-c"].map(str::to_owned);
                sh.into_iter().chain(words.iter().cloned()).collect()
            } else {
                shell.iter().chain(words).cloned().collect()
            }
        }
        Some((kind, _)) => {
            warning = Some(format!(
                "unknown health check type '{kind}' (expected 'CMD'): there is no health check"
            ));
            Vec::new()
        }
    };
    let span = |nanos: i64| u64::try_from(nanos).unwrap_or(0);
    let spec = HealthSpec {
        command,
        interval: span(check.interval),
        timeout: span(check.timeout),
        start_period: span(check.start_period),
        start_interval: span(check.start_interval),
        retries: u32::try_from(check.retries).unwrap_or(0),
    };
    (spec, warning)
}

/// As `Config.Healthcheck` shows it: what says nothing is left out.
pub(crate) fn config(check: &Healthcheck) -> Value {
    let mut shown = Map::new();
    if !check.test.is_empty() {
        shown.insert("Test".into(), json!(check.test));
    }
    for (name, number) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries),
    ] {
        if number != 0 {
            shown.insert(name.into(), json!(number));
        }
    }
    Value::Object(shown)
}

/// As `State.Health` shows it; `None` without a check.
pub(crate) fn state(health: &Health) -> Option<Value> {
    if health.status == HealthStatus::None {
        return None;
    }
    let log: Vec<Value> = health
        .log
        .iter()
        .map(|probe| {
            json!({
                "Start": probe.start.rfc3339(),
                "End": probe.end.rfc3339(),
                "ExitCode": probe.exit_code,
                "Output": probe.output,
            })
        })
        .collect();
    Some(json!({
        "Status": health.status.as_str(),
        "FailingStreak": health.failing_streak,
        "Log": log,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: Value) -> Healthcheck {
        super::super::body::read(raw).unwrap()
    }

    #[test]
    fn spans_below_a_millisecond_are_refused() {
        for (raw, text) in [
            (
                json!({"Interval": 999_999}),
                "Interval in Healthcheck cannot be less than 1ms",
            ),
            (
                json!({"Timeout": -1}),
                "Timeout in Healthcheck cannot be less than 1ms",
            ),
            (
                json!({"StartPeriod": 1, "Retries": -1}),
                "Retries in Healthcheck cannot be negative",
            ),
            (
                json!({"StartPeriod": 1}),
                "StartPeriod in Healthcheck cannot be less than 1ms",
            ),
            (
                json!({"StartInterval": 1}),
                "StartInterval in Healthcheck cannot be less than 1ms",
            ),
        ] {
            let failure = check(&read(raw)).unwrap_err();
            assert_eq!(
                (failure.status.as_u16(), failure.message.as_str()),
                (400, text)
            );
        }
        check(&read(json!({"Interval": 1_000_000, "Retries": 0}))).unwrap();
    }

    #[test]
    fn what_the_client_does_not_say_is_the_images() {
        let image = r#"{"Test": ["CMD", "true"], "Interval": 5000000, "Retries": 4}"#;
        let both = merged(
            Some(&read(json!({"Interval": 7_000_000, "Test": []}))),
            image,
        )
        .unwrap();
        assert_eq!(
            config(&both),
            json!({"Test": ["CMD", "true"], "Interval": 7_000_000, "Retries": 4})
        );
        assert_eq!(merged(None, image).unwrap().retries, 4);
        assert!(merged(None, "").is_none());
        assert!(merged(None, "null").is_none());
        let none = merged(Some(&read(json!({"Test": ["NONE"]}))), image).unwrap();
        assert!(spec(&none, &[]).0.command.is_empty());
    }

    #[test]
    fn tests_become_commands() {
        let own = ["/bin/ash".to_owned(), "-ec".to_owned()];
        for (test, shell, command, warned) in [
            (json!(["CMD", "a", "b"]), &[][..], &["a", "b"][..], false),
            (
                json!(["CMD-SHELL", "a || b"]),
                &[],
                &["/bin/sh", "-c", "a || b"],
                false,
            ),
            (
                json!(["CMD-SHELL", "a"]),
                &own,
                &["/bin/ash", "-ec", "a"],
                false,
            ),
            (json!(["NONE"]), &[], &[], false),
            (json!([]), &[], &[], false),
            (json!(["CMD"]), &[], &[], true),
            (json!(["curl", "x"]), &[], &[], true),
        ] {
            let (spec, warning) = spec(&read(json!({ "Test": test })), shell);
            assert_eq!(spec.command, command, "{test}");
            assert_eq!(warning.is_some(), warned, "{test}");
        }
    }

    #[test]
    fn is_shown_only_where_there_is_a_check() {
        assert_eq!(state(&Health::default()), None);
        let health = Health {
            status: HealthStatus::Unhealthy,
            failing_streak: 3,
            log: vec![gantry_model::policy::Probe {
                exit_code: 1,
                output: "no".into(),
                ..Default::default()
            }],
        };
        let shown = state(&health).unwrap();
        assert_eq!(shown["Status"], "unhealthy");
        assert_eq!(shown["FailingStreak"], 3);
        assert_eq!(shown["Log"][0]["ExitCode"], 1);
        assert_eq!(shown["Log"][0]["Output"], "no");
    }
}
