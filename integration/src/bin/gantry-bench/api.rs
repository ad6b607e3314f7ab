//! A Docker daemon spoken to without the client program, whose own time would be half of what is measured.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use gantry_integration::docker::Docker;
use gantry_integration::http::{self, Open};

const CLOSE: &str = "Connection: close\r\n";
const HIJACK: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// One daemon's socket.
pub(crate) struct Api(PathBuf);

impl Api {
    pub(crate) fn of(docker: &Docker) -> Self {
        let path = docker
            .host
            .strip_prefix("unix://")
            .unwrap_or(&docker.host)
            .into();
        Self(path)
    }

    /// Whether it answers.
    pub(crate) fn serves(&self) -> bool {
        http::open(&self.0, "GET", "/_ping", CLOSE, b"").is_ok_and(|open| open.status == 200)
    }

    /// A request with a short answer.
    pub(crate) fn post(&self, path: &str, body: &str) -> Result<serde_json::Value> {
        let mut open = http::open(&self.0, "POST", path, CLOSE, body.as_bytes())?;
        let status = open.status;
        let said = open.read(1 << 20);
        ensure!(
            status < 300,
            "POST {path}: {status} {}",
            String::from_utf8_lossy(&said)
        );
        // Some have no body, some come in a chunk.
        let text = String::from_utf8_lossy(&said);
        let json = text.find('{').zip(text.rfind('}'));
        Ok(json
            .and_then(|(from, to)| serde_json::from_str(&text[from..=to]).ok())
            .unwrap_or_default())
    }

    /// A connection that is handed over.
    pub(crate) fn hijack(&self, path: &str, body: &str) -> Result<Open> {
        let open = http::open(&self.0, "POST", path, HIJACK, body.as_bytes())?;
        ensure!(open.status == 101, "POST {path}: {}", open.status);
        Ok(open)
    }

    /// Creates a container of busybox; answers its id.
    pub(crate) fn create(&self, command: &str, more: &str) -> Result<String> {
        let body = format!(r#"{{"Image":"busybox","Cmd":{command}{more}}}"#);
        let made = self.post("/containers/create", &body)?;
        let id = made["Id"].as_str().context("an id")?;
        Ok(id.to_owned())
    }

    pub(crate) fn start(&self, id: &str) -> Result<()> {
        self.post(&format!("/containers/{id}/start"), "").map(drop)
    }

    /// Starts an exec with its output on the connection.
    pub(crate) fn exec(&self, id: &str, command: &str) -> Result<Open> {
        let body = format!(r#"{{"AttachStdout":true,"AttachStderr":true,"Cmd":{command}}}"#);
        let made = self.post(&format!("/containers/{id}/exec"), &body)?;
        let exec = made["Id"].as_str().context("an exec's id")?;
        self.hijack(&format!("/exec/{exec}/start"), r#"{"Detach":false}"#)
    }

    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        let path = format!("/containers/{id}?force=1");
        let open = http::open(&self.0, "DELETE", &path, CLOSE, b"")?;
        ensure!(open.status < 300, "DELETE {path}: {}", open.status);
        Ok(())
    }
}
