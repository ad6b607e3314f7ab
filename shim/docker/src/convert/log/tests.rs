//! Options as clients send them, and what is refused by name.

use serde_json::{Value, json};

use super::*;

fn with(kind: &str, options: Value) -> Result<LogSpec, (u16, String)> {
    let config = serde_json::from_value(json!({"Type": kind, "Config": options})).unwrap();
    read(&config).map_err(|f| (f.status.as_u16(), f.message))
}

#[test]
fn options_that_are_served() {
    let json = |max_size, max_files, compress| LogSpec::JsonFileRotated {
        max_size,
        max_files,
        compress,
    };
    let local = |max_size, max_files, compress| LogSpec::Local {
        max_size,
        max_files,
        compress,
    };
    for (kind, options, expected) in [
        ("", json!({}), LogSpec::JsonFile),
        ("json-file", json!({"max-file": "3"}), LogSpec::JsonFile),
        (
            "json-file",
            json!({"mode": "blocking", "tag": ""}),
            LogSpec::JsonFile,
        ),
        (
            "json-file",
            json!({"max-size": "10m"}),
            json(10_000_000, 1, false),
        ),
        (
            "json-file",
            json!({"max-size": "1.5KB", "max-file": "3", "compress": "true"}),
            json(1500, 3, true),
        ),
        (
            "json-file",
            json!({"max-size": "7", "compress": "False"}),
            json(7, 1, false),
        ),
        (
            "json-file",
            json!({"max-size": "2 GiB"}),
            json(2_000_000_000, 1, false),
        ),
        ("local", json!({}), local(20 << 20, 5, true)),
        (
            "local",
            json!({"max-size": "1k", "max-file": "1", "compress": "0"}),
            local(1000, 1, false),
        ),
        ("none", json!({"whatever": "1"}), LogSpec::None),
    ] {
        assert_eq!(
            with(kind, options.clone()).unwrap(),
            expected,
            "{kind} {options}"
        );
    }
}

#[test]
fn options_that_are_refused() {
    for (kind, options, status, message) in [
        (
            "nope",
            json!({}),
            400,
            "logger: no log driver named 'nope' is registered",
        ),
        (
            "syslog",
            json!({}),
            501,
            "log driver syslog is not served by gantry yet",
        ),
        (
            "json-file",
            json!({"max-sizes": "1"}),
            400,
            "unknown log opt 'max-sizes' for json-file log driver",
        ),
        (
            "local",
            json!({"x": "1"}),
            400,
            "unknown log opt 'x' for log driver local",
        ),
        (
            "json-file",
            json!({"labels": "a"}),
            501,
            "json-file log opt 'labels' is not served by gantry yet",
        ),
        (
            "",
            json!({"mode": "non-blocking"}),
            501,
            "log opt 'mode=non-blocking' is not served by gantry yet",
        ),
        (
            "",
            json!({"mode": "x"}),
            400,
            "logger: logging mode not supported: x",
        ),
        (
            "",
            json!({"max-buffer-size": "1m"}),
            400,
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        ("", json!({"max-size": "x"}), 400, "invalid size: 'x'"),
        ("", json!({"max-size": "-1"}), 400, "invalid size: '-1'"),
        ("", json!({"max-size": "1x"}), 400, "invalid suffix: 'x'"),
        (
            "",
            json!({"max-size": "0"}),
            400,
            "max-size must be a positive number",
        ),
        (
            "",
            json!({"max-size": "1", "max-file": "0"}),
            400,
            "max-file cannot be less than 1",
        ),
        (
            "",
            json!({"max-file": "a"}),
            400,
            "strconv.Atoi: parsing \"a\": invalid syntax",
        ),
        (
            "",
            json!({"compress": "yes"}),
            400,
            "strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
        (
            "",
            json!({"max-size": "1m", "compress": "true"}),
            400,
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (
            "local",
            json!({"max-file": "1"}),
            400,
            "compression cannot be enabled when max file count is 1",
        ),
    ] {
        assert_eq!(
            with(kind, options.clone()).unwrap_err(),
            (status, message.to_owned()),
            "{kind} {options}"
        );
    }
}
