//! Restart policies: checked with Docker's words, then as the model has them.

use gantry_model::policy::{RestartPolicy, RestartSpec};
use serde_json::{Value, json};

use super::body;

/// Reads a policy.
///
/// # Errors
/// What dockerd says of one that makes no sense.
pub(crate) fn spec(asked: &body::RestartPolicy) -> Result<RestartSpec, String> {
    let count = asked.maximum_retry_count;
    let policy = match asked.name.as_str() {
        // Clients of before 25 send an empty name with any count.
        "" => return Ok(RestartSpec::default()),
        "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure,
        other => {
            return Err(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
                 'unless-stopped'"
            ));
        }
    };
    if policy == RestartPolicy::OnFailure {
        let max_retries = u32::try_from(count)
            .map_err(|_| "invalid restart policy: maximum retry count cannot be negative")?;
        return Ok(RestartSpec {
            policy,
            max_retries,
        });
    }
    if count != 0 {
        let more = if count < 0 {
            " and cannot be negative"
        } else {
            ""
        };
        return Err(format!(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'{more}"
        ));
    }
    Ok(RestartSpec {
        policy,
        max_retries: 0,
    })
}

/// As `HostConfig.RestartPolicy` shows it.
pub(crate) fn shown(spec: RestartSpec) -> Value {
    let name = match spec.policy {
        RestartPolicy::No => "no",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::Always => "always",
        RestartPolicy::UnlessStopped => "unless-stopped",
    };
    json!({ "Name": name, "MaximumRetryCount": spec.max_retries })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, count: i64) -> Result<RestartSpec, String> {
        spec(&body::RestartPolicy {
            name: name.into(),
            maximum_retry_count: count,
        })
    }

    #[test]
    fn policies_come_through_and_back() {
        for (name, count) in [
            ("no", 0),
            ("always", 0),
            ("unless-stopped", 0),
            ("on-failure", 0),
            ("on-failure", 3),
        ] {
            assert_eq!(
                shown(read(name, count).unwrap()),
                json!({"Name": name, "MaximumRetryCount": count})
            );
        }
        assert_eq!(read("", 5).unwrap(), RestartSpec::default());
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_dockers_words() {
        for (name, count, text) in [
            (
                "sometimes",
                0,
                "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
            ),
            (
                "always",
                1,
                "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            ),
            (
                "no",
                -1,
                "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative",
            ),
            (
                "on-failure",
                -1,
                "invalid restart policy: maximum retry count cannot be negative",
            ),
        ] {
            assert_eq!(read(name, count).unwrap_err(), text);
        }
    }
}
