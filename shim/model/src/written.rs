//! How values that an earlier release does not know are written, so that it still reads the record they stand in.
//!
//! A daemon may be rolled back. A record its older self cannot read is left out there, and a running container without
//! a record would be ended. So a new value is written as the nearest one the release before knows, with a field more
//! that only newer ones look at. See docs/upgrades.md for what is lost by that.

use serde::{Deserialize, Serialize};

use crate::container::LogSpec;
use crate::supervisor::LogSink;

/// What tells a value from the one it is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Really {
    /// Docker's `local`.
    Local,
    /// What it looks like, or something only a newer release knows.
    #[default]
    #[serde(other)]
    Same,
}

impl Really {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_same(&self) -> bool {
        *self == Self::Same
    }
}

/// [`LogSpec`] on disk.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WrittenLogSpec {
    JsonFile,
    JsonFileRotated {
        max_size: u64,
        max_files: u32,
        #[serde(default)]
        compress: bool,
        #[serde(default, skip_serializing_if = "Really::is_same")]
        really: Really,
    },
    Cri(String),
    None,
}

impl From<LogSpec> for WrittenLogSpec {
    fn from(spec: LogSpec) -> Self {
        match spec {
            LogSpec::JsonFile => Self::JsonFile,
            LogSpec::JsonFileRotated {
                max_size,
                max_files,
                compress,
            } => Self::JsonFileRotated {
                max_size,
                max_files,
                compress,
                really: Really::Same,
            },
            LogSpec::Local {
                max_size,
                max_files,
                compress,
            } => Self::JsonFileRotated {
                max_size,
                max_files,
                compress,
                really: Really::Local,
            },
            LogSpec::Cri(path) => Self::Cri(path),
            LogSpec::None => Self::None,
        }
    }
}

impl From<WrittenLogSpec> for LogSpec {
    fn from(written: WrittenLogSpec) -> Self {
        match written {
            WrittenLogSpec::JsonFile => Self::JsonFile,
            WrittenLogSpec::JsonFileRotated {
                max_size,
                max_files,
                compress,
                really,
            } => match really {
                Really::Same => Self::JsonFileRotated {
                    max_size,
                    max_files,
                    compress,
                },
                Really::Local => Self::Local {
                    max_size,
                    max_files,
                    compress,
                },
            },
            WrittenLogSpec::Cri(path) => Self::Cri(path),
            WrittenLogSpec::None => Self::None,
        }
    }
}

/// [`LogSink`] on disk.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "format")]
pub(crate) enum WrittenLogSink {
    None,
    Cri {
        path: String,
    },
    JsonFile {
        path: String,
        max_size: u64,
        max_files: u32,
        #[serde(default)]
        compress: bool,
        #[serde(default, skip_serializing_if = "Really::is_same")]
        really: Really,
    },
}

impl From<LogSink> for WrittenLogSink {
    fn from(sink: LogSink) -> Self {
        match sink {
            LogSink::None => Self::None,
            LogSink::Cri { path } => Self::Cri { path },
            LogSink::JsonFile {
                path,
                max_size,
                max_files,
                compress,
            } => Self::JsonFile {
                path,
                max_size,
                max_files,
                compress,
                really: Really::Same,
            },
            LogSink::Local {
                path,
                max_size,
                max_files,
                compress,
            } => Self::JsonFile {
                path,
                max_size,
                max_files,
                compress,
                really: Really::Local,
            },
        }
    }
}

impl From<WrittenLogSink> for LogSink {
    fn from(written: WrittenLogSink) -> Self {
        match written {
            WrittenLogSink::None => Self::None,
            WrittenLogSink::Cri { path } => Self::Cri { path },
            WrittenLogSink::JsonFile {
                path,
                max_size,
                max_files,
                compress,
                really,
            } => match really {
                Really::Same => Self::JsonFile {
                    path,
                    max_size,
                    max_files,
                    compress,
                },
                Really::Local => Self::Local {
                    path,
                    max_size,
                    max_files,
                    compress,
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_looks_like_a_json_file_to_the_release_before() {
        let sink = LogSink::Local {
            path: "/l".to_owned(),
            max_size: 1,
            max_files: 2,
            compress: true,
        };
        let text = serde_json::to_string(&sink).unwrap();
        assert_eq!(
            text,
            r#"{"format":"json_file","path":"/l","max_size":1,"max_files":2,"compress":true,"really":"local"}"#
        );
        assert_eq!(serde_json::from_str::<LogSink>(&text).unwrap(), sink);
        let spec = LogSpec::Local {
            max_size: 1,
            max_files: 2,
            compress: false,
        };
        let text = serde_json::to_string(&spec).unwrap();
        assert!(text.starts_with(r#"{"json_file_rotated":{"#), "{text}");
        assert_eq!(serde_json::from_str::<LogSpec>(&text).unwrap(), spec);
    }

    #[test]
    fn what_it_looks_like_is_what_it_is_without_a_word_or_with_an_unknown_one() {
        for more in ["", r#","really":"a driver of the future""#] {
            let text =
                format!(r#"{{"format":"json_file","path":"/l","max_size":1,"max_files":2{more}}}"#);
            let sink: LogSink = serde_json::from_str(&text).unwrap();
            assert!(matches!(sink, LogSink::JsonFile { .. }), "{sink:?}");
        }
    }
}
