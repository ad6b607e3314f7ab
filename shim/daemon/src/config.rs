//! The configuration: embedded defaults, the file over them, flags over both. An unknown key is an error that names it
//! and the nearest known one.

mod duration;
mod known;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Every key with its default and what it means; also what `gantryd config default` prints.
pub(crate) const DEFAULT: &str = include_str!("default.toml");

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) instance: String,
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) snapshotter: String,
    pub(crate) log: Log,
    pub(crate) sockets: Sockets,
    pub(crate) docker: Docker,
    pub(crate) cgroup: Cgroup,
    pub(crate) network: Network,
    pub(crate) registry: Registry,
    pub(crate) plugins: Plugins,
    pub(crate) handlers: BTreeMap<String, Handler>,
}

/// Another OCI runtime. Its keys are not among the defaults, so what is unknown is refused here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handler {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) options: Vec<String>,
    #[serde(default = "handler_timeout", deserialize_with = "duration::read")]
    pub(crate) timeout: Duration,
}

fn handler_timeout() -> Duration {
    Duration::from_secs(40)
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Log {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sockets {
    pub(crate) group: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Docker {
    pub(crate) min_api: String,
    pub(crate) show_all: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Cgroup {
    pub(crate) driver: String,
    pub(crate) parent: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Network {
    pub(crate) default: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Registry {
    pub(crate) plain_http: Vec<String>,
    pub(crate) parallel_downloads: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Plugins {
    pub(crate) dirs: Vec<PathBuf>,
    pub(crate) isolate: Vec<String>,
    #[serde(deserialize_with = "duration::read")]
    pub(crate) deadline: Duration,
    pub(crate) settings: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
}

/// Where a file is looked for when no flag names one. It need not be there.
pub(crate) const DEFAULT_PATH: &str = "/etc/gantry/config.toml";

/// The defaults with the file over them.
///
/// # Errors
/// The file cannot be read, is not TOML, has an unknown key or a value that makes no sense.
pub(crate) fn load(file: Option<&Path>) -> Result<Config> {
    let text = match file {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?
        }
        None => match std::fs::read_to_string(DEFAULT_PATH) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.with_context(|| format!("read {DEFAULT_PATH}"))?,
        },
    };
    let shown = file.unwrap_or_else(|| Path::new(DEFAULT_PATH));
    parse(&text).with_context(|| format!("configuration file {}", shown.display()))
}

fn parse(text: &str) -> Result<Config> {
    let mut table: toml::Table = DEFAULT.parse().context("the embedded defaults")?;
    let over: toml::Table = text.parse()?;
    known::check(&table, &over)?;
    merge(&mut table, over);
    let config: Config = table.try_into()?;
    check(&config)?;
    Ok(config)
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// Values no type can refuse.
///
/// # Errors
/// Names the key, the value and what is allowed.
pub(crate) fn check(config: &Config) -> Result<()> {
    let name = &config.instance;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || !name.chars().all(good) || name.starts_with('-') {
        bail!(
            "instance = {name:?}: 1 to 32 of a-z, 0-9 and '-' are allowed, not beginning with '-'"
        );
    }
    for (key, path) in [("root", &config.root), ("run", &config.run)] {
        if !path.is_absolute() {
            bail!("{key} = {:?}: the path must be absolute", path.display());
        }
    }
    match config.cgroup.driver.as_str() {
        "cgroupfs" => {}
        "systemd" => bail!("cgroup.driver = \"systemd\" is not supported yet; use \"cgroupfs\""),
        other => bail!("cgroup.driver = {other:?}: \"cgroupfs\" is the one supported now"),
    }
    if config.cgroup.parent.split('/').any(|part| part == "..") {
        bail!(
            "cgroup.parent = {:?}: '..' is not allowed",
            config.cgroup.parent
        );
    }
    for (name, handler) in &config.handlers {
        check_handler(name, handler)?;
    }
    if config.registry.parallel_downloads == 0 {
        bail!("registry.parallel_downloads = 0: at least 1 is needed");
    }
    Ok(())
}

fn check_handler(name: &str, handler: &Handler) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if name.len() > 63 || !begins || !name.chars().all(good) {
        bail!(
            "handlers.{name}: 1 to 63 of letters, digits, '-', '_' and '.' are allowed, beginning with a letter or digit"
        );
    }
    if name == "gantry" {
        bail!("handlers.{name}: that is the built-in runtime");
    }
    // Whoever waits for a start or an exec waits a minute.
    if handler.timeout > Duration::from_secs(55) {
        bail!("handlers.{name}.timeout: 55s is the most");
    }
    if !handler.path.is_absolute() {
        bail!(
            "handlers.{name}.path = {:?}: the path must be absolute",
            handler.path.display()
        );
    }
    Ok(())
}

impl Config {
    /// Below which cgroup everything goes.
    pub(crate) fn cgroup_parent(&self) -> String {
        let parent = self.cgroup.parent.trim_matches('/');
        if parent.is_empty() {
            self.instance.clone()
        } else {
            parent.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_file_wins_over_the_defaults_key_by_key() {
        let config = parse("instance = \"two\"\n[log]\nfilter = \"debug\"\n").unwrap();
        assert_eq!(config.instance, "two");
        assert_eq!(config.log.filter, "debug");
        assert_eq!(config.network.default, "bridge");
        assert_eq!(config.cgroup_parent(), "two");
    }

    #[test]
    fn says_what_is_wrong_and_what_was_meant() {
        for (text, wanted) in [
            (
                "instanze = \"x\"",
                "unknown key `instanze`; did you mean `instance`?",
            ),
            (
                "[docker]\nminapi = \"1.24\"",
                "unknown key `docker.minapi`; did you mean `docker.min_api`?",
            ),
            (
                "[dokcer]\nmin_api = \"1.24\"",
                "unknown key `dokcer`; did you mean `docker`?",
            ),
            ("instance = \"A B\"", "instance = \"A B\""),
            ("root = \"var\"", "root"),
            ("[cgroup]\ndriver = \"systemd\"", "not supported yet"),
            ("[log]\nformat = \"xml\"", "xml"),
            ("instance = 3", "instance"),
            ("[plugins]\ndeadline = \"soon\"", "write 500ms, 10s or 2m"),
            ("[plugins]\ndeadline = \"0s\"", "more than nothing"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn handlers_have_a_name_and_a_path() {
        let config = parse("[handlers.runc]\npath = \"/usr/sbin/runc\"\n").unwrap();
        assert_eq!(
            config.handlers["runc"].path.to_str(),
            Some("/usr/sbin/runc")
        );
        for (text, wanted) in [
            ("[handlers.runc]\n", "path"),
            ("[handlers.runc]\npath = \"runc\"\n", "must be absolute"),
            ("[handlers.runc]\npath = \"/r\"\npth = 1\n", "pth"),
            (
                "[handlers.runc]\npath = \"/r\"\ntimeout = \"2m\"\n",
                "55s is the most",
            ),
            ("[handlers.gantry]\npath = \"/r\"\n", "built-in"),
            ("[handlers.\"a b\"]\npath = \"/r\"\n", "handlers.a b"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn a_plugins_settings_are_its_own() {
        let config =
            parse("[plugins.settings.\"network/bridge\"]\npool = \"10.9.0.0/16\"\n").unwrap();
        assert_eq!(
            config.plugins.settings["network/bridge"]["pool"],
            "10.9.0.0/16"
        );
    }
}
