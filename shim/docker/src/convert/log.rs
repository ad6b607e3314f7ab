//! `HostConfig.LogConfig`: the log driver and its options.
//!
//! What Docker would not know is refused in its words, what Gantry does not serve by name. Docker finds some wrong
//! values only when the container starts; here all of them are found when it is created.

use gantry_model::container::LogSpec;

use super::body::LogConfig;
use crate::response::Failure;

/// What `local` does without options, as Docker's.
const LOCAL_SIZE: u64 = 20 << 20;
const LOCAL_FILES: u32 = 5;

/// Reads driver and options.
///
/// # Errors
/// 400 or 501 naming the option.
pub(crate) fn read(config: &LogConfig) -> Result<LogSpec, Failure> {
    match config.kind.as_str() {
        // Docker looks at no option of it either.
        "none" => return Ok(LogSpec::None),
        "" | "json-file" | "local" => {}
        "syslog" | "journald" | "gelf" | "fluentd" | "awslogs" | "splunk" | "gcplogs" => {
            let text = format!("log driver {} is not served by gantry yet", config.kind);
            return Err(Failure::not_served(text));
        }
        other => {
            let text = format!("logger: no log driver named '{other}' is registered");
            return Err(Failure::bad_request(text));
        }
    }
    mode(config)?;
    let options = Options::read(config)?;
    if config.kind == "local" {
        options.local()
    } else {
        options.json_file()
    }
}

/// Options of every driver: whether the process may be held up by its log.
fn mode(config: &LogConfig) -> Result<(), Failure> {
    let mode = config.config.get("mode").map_or("", String::as_str);
    match mode {
        "" | "blocking" | "non-blocking" => {}
        other => {
            let text = format!("logger: logging mode not supported: {other}");
            return Err(Failure::bad_request(text));
        }
    }
    if mode == "non-blocking" {
        return Err(Failure::not_served(
            "log opt 'mode=non-blocking' is not served by gantry yet",
        ));
    }
    if config.config.contains_key("max-buffer-size") {
        return Err(Failure::bad_request(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ));
    }
    Ok(())
}

/// The options both drivers have.
#[derive(Debug, Default)]
struct Options {
    max_size: Option<u64>,
    max_files: Option<u32>,
    compress: Option<bool>,
}

impl Options {
    fn read(config: &LogConfig) -> Result<Self, Failure> {
        let driver = if config.kind == "local" {
            "local"
        } else {
            "json-file"
        };
        let mut options = Self::default();
        for (key, value) in &config.config {
            match key.as_str() {
                "mode" => {}
                "max-size" => options.max_size = Some(size(value)?),
                "max-file" => options.max_files = Some(count(value)?),
                "compress" => options.compress = Some(truth(value)?),
                // Nothing is asked for by an empty one.
                "labels" | "labels-regex" | "env" | "env-regex" | "tag" if value.is_empty() => {}
                "labels" | "labels-regex" | "env" | "env-regex" | "tag" => {
                    let text = format!("{driver} log opt '{key}' is not served by gantry yet");
                    return Err(Failure::not_served(text));
                }
                _ if driver == "local" => {
                    let text = format!("unknown log opt '{key}' for log driver local");
                    return Err(Failure::bad_request(text));
                }
                _ => {
                    let text = format!("unknown log opt '{key}' for json-file log driver");
                    return Err(Failure::bad_request(text));
                }
            }
        }
        Ok(options)
    }

    fn json_file(self) -> Result<LogSpec, Failure> {
        if self.max_size == Some(0) {
            return Err(Failure::bad_request("max-size must be a positive number"));
        }
        if self.max_files == Some(0) {
            return Err(Failure::bad_request("max-file cannot be less than 1"));
        }
        let max_files = self.max_files.unwrap_or(1);
        let compress = self.compress == Some(true);
        if compress && (max_files == 1 || self.max_size.is_none()) {
            return Err(Failure::bad_request(
                "compress cannot be true when max-file is less than 2 or max-size is not set",
            ));
        }
        Ok(match self.max_size {
            None => LogSpec::JsonFile,
            Some(max_size) => LogSpec::JsonFileRotated {
                max_size,
                max_files,
                compress,
            },
        })
    }

    fn local(self) -> Result<LogSpec, Failure> {
        let max_files = self.max_files.unwrap_or(LOCAL_FILES);
        let compress = self.compress.unwrap_or(true);
        if compress && max_files <= 1 {
            return Err(Failure::bad_request(
                "compression cannot be enabled when max file count is 1",
            ));
        }
        Ok(LogSpec::Local {
            max_size: self.max_size.unwrap_or(LOCAL_SIZE),
            max_files,
            compress,
        })
    }
}

/// `10m`, `1.5kb`, `1 GiB`: for log files Docker counts in powers of 1000, whatever the letters say.
fn size(text: &str) -> Result<u64, Failure> {
    let invalid = || Failure::bad_request(format!("invalid size: '{text}'"));
    let end = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
        .ok_or_else(invalid)?;
    let (number, suffix) = text.split_at(end + 1);
    let number: f64 = number
        .trim_end_matches(' ')
        .parse()
        .map_err(|_| invalid())?;
    if !(0.0..1e18).contains(&number) {
        return Err(invalid());
    }
    let lower = suffix.to_ascii_lowercase();
    let unit = match lower.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1e3,
        "m" | "mb" | "mib" => 1e6,
        "g" | "gb" | "gib" => 1e9,
        "t" | "tb" | "tib" => 1e12,
        "p" | "pb" | "pib" => 1e15,
        _ => return Err(Failure::bad_request(format!("invalid suffix: '{lower}'"))),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and what is too large for a file is the largest number"
    )]
    Ok((number * unit) as u64)
}

fn count(text: &str) -> Result<u32, Failure> {
    let number: i64 = text.parse().map_err(|_| {
        Failure::bad_request(format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
    })?;
    match u32::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) if number < 0 => Err(Failure::bad_request("max-file must not be negative")),
        Err(_) => Err(Failure::bad_request(format!(
            "max-file {number} is more than gantry keeps"
        ))),
    }
}

/// The words Go takes.
fn truth(text: &str) -> Result<bool, Failure> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Failure::bad_request(format!(
            "strconv.ParseBool: parsing {text:?}: invalid syntax"
        ))),
    }
}

#[cfg(test)]
mod tests;
