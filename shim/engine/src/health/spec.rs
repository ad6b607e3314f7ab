//! Which check applies: the container's own, or its image's. An image's is attacker's input: times and counts are
//! bounded, and what cannot be read is no check.

use std::time::Duration;

use gantry_model::image::ImageConfig;
use gantry_model::policy::HealthSpec;
use serde::Deserialize;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;

/// No probe comes sooner after the last one, whatever an image says (Docker's own least time).
const LEAST: Duration = Duration::from_millis(1);

/// No span is longer: a timer has to be able to hold it.
const MOST: Duration = Duration::from_secs(365 * 86_400);

/// A check with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) command: Vec<String>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) start_period: Duration,
    pub(super) start_interval: Duration,
    pub(super) retries: u32,
}

/// `Healthcheck` of an image's configuration. Times are nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Document {
    test: Option<Vec<String>>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    start_interval: i64,
    retries: i64,
}

/// The check an image asks for, if it asks for one (`Test` of `NONE` is none). A door that changes only the times of a
/// check begins with this.
pub fn image_health(config: &ImageConfig) -> Option<HealthSpec> {
    let document: Document = serde_json::from_str(&config.healthcheck).ok()?;
    let test = document.test.unwrap_or_default();
    let (kind, arguments) = test.split_first()?;
    let command = match kind.as_str() {
        "CMD" => arguments.to_vec(),
        "CMD-SHELL" => shell(config)
            .into_iter()
            .chain(arguments.iter().cloned())
            .collect(),
        _ => return None,
    };
    if arguments.is_empty() {
        return None;
    }
    let nanos = |nanos: i64| u64::try_from(nanos).unwrap_or(0);
    Some(HealthSpec {
        command,
        interval: nanos(document.interval),
        timeout: nanos(document.timeout),
        start_period: nanos(document.start_period),
        start_interval: nanos(document.start_interval),
        retries: u32::try_from(document.retries).unwrap_or(0),
    })
}

fn shell(config: &ImageConfig) -> Vec<String> {
    if config.shell.is_empty() {
        vec!["/bin/sh".to_owned(), "-c".to_owned()]
    } else {
        config.shell.clone()
    }
}

/// The check that applies, if there is one.
pub(super) fn plan(own: Option<&HealthSpec>, image: Option<&ImageConfig>) -> Option<Plan> {
    let spec = match own {
        Some(own) => own.clone(),
        None => image_health(image?)?,
    };
    if spec.command.first().is_none_or(String::is_empty) {
        return None;
    }
    let span = |nanos: u64, default: Duration| match nanos {
        0 => default,
        nanos => Duration::from_nanos(nanos).clamp(LEAST, MOST),
    };
    Some(Plan {
        interval: span(spec.interval, INTERVAL),
        timeout: span(spec.timeout, TIMEOUT),
        start_period: Duration::from_nanos(spec.start_period).min(MOST),
        start_interval: span(spec.start_interval, START_INTERVAL),
        retries: if spec.retries == 0 {
            RETRIES
        } else {
            spec.retries
        },
        command: spec.command,
    })
}

#[cfg(test)]
mod tests {
    use super::{MOST, image_health, plan};
    use gantry_model::image::ImageConfig;
    use gantry_model::policy::HealthSpec;
    use std::time::Duration;

    fn image(healthcheck: &str) -> ImageConfig {
        ImageConfig {
            healthcheck: healthcheck.to_owned(),
            ..ImageConfig::default()
        }
    }

    fn command(healthcheck: &str) -> Option<String> {
        image_health(&image(healthcheck)).map(|spec| spec.command.join("|"))
    }

    #[test]
    fn reads_what_images_say() {
        for (text, expected) in [
            ("", None),
            ("null", None),
            ("{}", None),
            ("[1]", None),
            (r#"{"Test":null}"#, None),
            (r#"{"Test":[]}"#, None),
            (r#"{"Test":["NONE"]}"#, None),
            (r#"{"Test":["CMD"]}"#, None),
            (r#"{"Test":["CMD-SHELL"]}"#, None),
            (r#"{"Test":["ELSE","x"]}"#, None),
            (r#"{"Test":["CMD","a","b c"]}"#, Some("a|b c")),
            (r#"{"Test":["CMD-SHELL","a b"]}"#, Some("/bin/sh|-c|a b")),
            (r#"{"Test":["CMD","a"],"Interval":"5s"}"#, None),
        ] {
            assert_eq!(command(text).as_deref(), expected, "{text}");
        }
        let mut with_shell = image(r#"{"Test":["CMD-SHELL","a b"]}"#);
        with_shell.shell = vec!["/bin/ash".to_owned(), "-ec".to_owned()];
        let spec = image_health(&with_shell).unwrap();
        assert_eq!(spec.command, ["/bin/ash", "-ec", "a b"]);
    }

    #[test]
    fn fills_in_defaults_and_bounds_the_rest() {
        let plan_of = |text: &str| plan(None, Some(&image(text))).unwrap();
        let least = plan_of(r#"{"Test":["CMD","a"]}"#);
        assert_eq!(least.interval, Duration::from_secs(30));
        assert_eq!(least.timeout, Duration::from_secs(30));
        assert_eq!(least.start_period, Duration::ZERO);
        assert_eq!(least.start_interval, Duration::from_secs(5));
        assert_eq!(least.retries, 3);
        let odd = plan_of(
            r#"{"Test":["CMD","a"],"Interval":1,"Timeout":9223372036854775807,"StartPeriod":-4,"Retries":-1}"#,
        );
        assert_eq!(odd.interval, Duration::from_millis(1));
        assert_eq!(odd.timeout, MOST);
        assert_eq!(odd.start_period, Duration::ZERO);
        assert_eq!(odd.retries, 3);
    }

    #[test]
    fn the_containers_own_wins_and_may_be_none() {
        let image = image(r#"{"Test":["CMD","a"]}"#);
        let own = HealthSpec {
            command: vec!["b".to_owned()],
            retries: 7,
            ..HealthSpec::default()
        };
        let chosen = plan(Some(&own), Some(&image)).unwrap();
        assert_eq!((chosen.command[0].as_str(), chosen.retries), ("b", 7));
        assert_eq!(plan(Some(&HealthSpec::default()), Some(&image)), None);
        assert_eq!(plan(None, None), None);
    }
}
