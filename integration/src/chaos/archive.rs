//! Small images as `docker save` would write them: one layer, one file, no program.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;

/// One image's content; archives under several names can be made of it.
#[derive(Clone, Debug)]
pub struct Content {
    layer: Vec<u8>,
    config: Vec<u8>,
    config_name: String,
}

impl Content {
    /// Content that a number tells from others. `size` bytes beside it make the unpacking take a moment.
    ///
    /// # Errors
    /// If `sha256sum` cannot be run.
    pub fn new(variant: usize, size: usize) -> Result<Self> {
        let text = format!("variant {variant}\n");
        let filler = vec![b'x'; size];
        let layer = tar(&[("variant", text.as_bytes()), ("filler", filler.as_slice())]);
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": { "Cmd": ["/nothing"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer)?)] },
            "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "chaos" }],
        })
        .to_string()
        .into_bytes();
        let config_name = format!("{}.json", sha256(&config)?);
        Ok(Self {
            layer,
            config,
            config_name,
        })
    }

    /// The archive under one name.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<u8> {
        let manifest = json!([{
            "Config": self.config_name,
            "RepoTags": [name],
            "Layers": ["layer/layer.tar"],
        }])
        .to_string();
        tar(&[
            (&self.config_name, &self.config),
            ("layer/layer.tar", &self.layer),
            ("manifest.json", manifest.as_bytes()),
        ])
    }
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        let mut head = [0u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[100..108].copy_from_slice(b"0000644\0");
        head[108..116].copy_from_slice(b"0000000\0");
        head[116..124].copy_from_slice(b"0000000\0");
        head[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        head[136..148].copy_from_slice(b"00000000000\0");
        head[148..156].copy_from_slice(b"        ");
        head[156] = b'0';
        head[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn sha256(bytes: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("run sha256sum")?;
    child
        .stdin
        .take()
        .context("its standard input")?
        .write_all(bytes)?;
    let out = child.wait_with_output()?;
    ensure!(out.status.success(), "sha256sum failed");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
