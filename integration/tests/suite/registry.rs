//! Pulls from a real registry on the loopback device.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_integration::{Node, cases, wait};

cases![pull_through_both_doors];

/// Debian's `docker-registry` inside a node's namespace; ends with the test.
struct Registry {
    child: Child,
}

impl Registry {
    fn start(node: &Node) -> Result<Self> {
        let folder = node.dir().join("registry");
        std::fs::create_dir(&folder)?;
        let config = node.dir().join("registry.yml");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:5000\n",
            folder.display()
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = node
            .net
            .run(move || command.spawn())
            .context("start docker-registry (Debian's package of that name)")?;
        let up = || {
            node.net
                .run(|| std::net::TcpStream::connect("127.0.0.1:5000").is_ok())
        };
        wait::until("the registry", Duration::from_secs(10), up)?;
        Ok(Self { child })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pull_through_both_doors() -> Result<()> {
    let node = Node::start()?;
    let registry = Registry::start(&node)?;
    let docker = node.docker();
    // Nothing of ours pushes yet: skopeo puts the image there.
    node.load_busybox()?;
    let tar = gantry_integration::paths::build().join("busybox.tar");
    let from = format!("docker-archive:{}", tar.display());
    node.net.tool(
        "skopeo",
        &[
            "copy",
            "-q",
            "--insecure-policy",
            "--dest-tls-verify=false",
            &from,
            "docker://127.0.0.1:5000/lib/bb:1",
        ],
    )?;
    docker.ok(&["rmi", "busybox"])?;

    let said = docker.ok(&["pull", "127.0.0.1:5000/lib/bb:1"])?;
    ensure!(said.contains("Digest: sha256:"), "{said}");
    ensure!(docker.ok(&["run", "--rm", "127.0.0.1:5000/lib/bb:1", "echo", "hi"])? == "hi");
    let digest = docker.ok(&[
        "image",
        "inspect",
        "-f",
        "{{index .RepoDigests 0}}",
        "127.0.0.1:5000/lib/bb:1",
    ])?;
    ensure!(
        digest.starts_with("127.0.0.1:5000/lib/bb@sha256:"),
        "{digest}"
    );
    docker.ok(&["pull", &digest])?;
    let ran = docker.run(&["pull", "127.0.0.1:5000/lib/bb:none"])?;
    ensure!(ran.code == 1 && ran.err.contains("bb:none"), "{ran:?}");

    let api = node.cri()?;
    let pull = |name: &str| {
        let image = Some(v1::ImageSpec {
            image: name.to_owned(),
            ..Default::default()
        });
        api.wait(api.images().pull_image(v1::PullImageRequest {
            image,
            auth: None,
            sandbox_config: None,
        }))
    };
    ensure!(!pull("127.0.0.1:5000/lib/bb:1")?.image_ref.is_empty());
    let missing = pull("127.0.0.1:5000/lib/bb:none");
    ensure!(
        missing
            .as_ref()
            .is_err_and(|s| s.code() == tonic::Code::NotFound),
        "{missing:?}"
    );
    drop(registry);
    let unreachable = pull("127.0.0.1:5000/lib/bb:2");
    ensure!(
        unreachable
            .as_ref()
            .is_err_and(|s| s.message().contains("127.0.0.1:5000")),
        "{unreachable:?}"
    );
    drop(api);
    node.finish()
}
