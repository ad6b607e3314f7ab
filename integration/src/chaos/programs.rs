//! What the clients' containers run, and how each is asked for.

use serde_json::{Value, json};

/// Says that it begins, on TERM that it ends (with 7), and whether its file system is that of its last run.
const SLEEPER: &str = "trap 'echo term; exit 7' TERM; if [ -e /mark ]; then echo begin again; else echo begin first; fi; \
                       : >/mark; sleep 100000 & while :; do wait $!; done";

/// Lines of a chatty container: enough for several files at [`ROTATE_AT`].
pub const LINES: usize = 1500;
const ROTATE_AT: &str = "8k";

/// What a container is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs until it is stopped.
    Sleeper,
    /// The same with a published port.
    Server(u16),
    /// Writes a line to each stream and ends with a code; a line into its volume before, if it has one.
    Short(i64),
    /// Writes back what it reads.
    Cat,
    /// Writes many numbered lines to a log that rotates, and ends.
    Chatty,
    /// Its program is not there.
    Broken,
}

impl Kind {
    /// Whether it runs until somebody ends it.
    #[must_use]
    pub fn stays(&self) -> bool {
        matches!(self, Kind::Sleeper | Kind::Server(_) | Kind::Cat)
    }

    /// Its code when it ends by itself.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Kind::Short(code) => *code,
            _ => 0,
        }
    }

    /// What it says when a run begins.
    #[must_use]
    pub fn first_word(&self) -> Option<&'static str> {
        match self {
            Kind::Sleeper | Kind::Server(_) => Some("begin"),
            Kind::Short(_) => Some("out"),
            _ => None,
        }
    }

    fn command(&self) -> Vec<String> {
        let shell = |script: String| vec!["sh".to_owned(), "-c".to_owned(), script];
        match self {
            Kind::Sleeper => shell(SLEEPER.to_owned()),
            Kind::Server(_) => shell(format!("httpd -h /var/www; {SLEEPER}")),
            Kind::Short(code) => shell(format!(
                "[ -d /v ] && echo line >>/v/f; echo out; echo err >&2; exit {code}"
            )),
            Kind::Cat => vec!["cat".to_owned()],
            Kind::Chatty => shell(format!(
                "i=1; while [ $i -le {LINES} ]; do echo \"number $i\"; i=$((i+1)); done"
            )),
            Kind::Broken => vec!["/nothing".to_owned()],
        }
    }

    fn log(&self, variant: usize) -> Value {
        match (self, variant % 4) {
            (Kind::Chatty, 0) => json!({
                "Type": "local",
                "Config": { "max-size": ROTATE_AT, "max-file": "3" },
            }),
            (Kind::Chatty, n) => json!({
                "Type": "json-file",
                "Config": {
                    "max-size": ROTATE_AT,
                    "max-file": "3",
                    "compress": if n == 1 { "true" } else { "false" },
                },
            }),
            (_, 0) => json!({ "Type": "local" }),
            _ => json!({ "Type": "json-file" }),
        }
    }
}

/// The body of `POST /containers/create`.
#[must_use]
pub fn body(kind: &Kind, image: &str, label: &str, volume: Option<&str>, variant: usize) -> Value {
    let cat = *kind == Kind::Cat;
    let mut host = json!({ "LogConfig": kind.log(variant) });
    if let Some(volume) = volume {
        host["Binds"] = json!([format!("{volume}:/v")]);
    }
    let mut body = json!({
        "Image": image,
        "Cmd": kind.command(),
        "Labels": { "chaos": label },
        "OpenStdin": cat,
    });
    if let Kind::Server(port) = kind {
        // Filled from the image at the first start.
        body["Volumes"] = json!({ "/var/www": {} });
        body["ExposedPorts"] = json!({ "80/tcp": {} });
        host["PortBindings"] = json!({ "80/tcp": [{ "HostPort": port.to_string() }] });
    }
    body["HostConfig"] = host;
    body
}
