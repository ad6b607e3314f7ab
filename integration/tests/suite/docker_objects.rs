//! Images, volumes, networks and published ports through the Docker door.

use std::time::Duration;

use anyhow::{Result, ensure};
use gantry_integration::{Node, cases, wait, web};

cases![
    images_list_tag_remove,
    volumes_named_and_bound,
    networks_of_every_driver,
    containers_reach_each_other,
    ports_are_published,
    a_taken_port_is_an_error_and_nothing_more,
    version_and_info,
];

fn images_list_tag_remove() -> Result<()> {
    let node = Node::start()?;
    let docker = node.docker();
    let loaded = node.load_busybox()?;
    ensure!(loaded.contains("Loaded image: busybox:latest"), "{loaded}");
    ensure!(docker.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"])? == "busybox:latest");
    let id = docker.ok(&["image", "inspect", "-f", "{{.Id}}", "busybox"])?;
    ensure!(id.starts_with("sha256:"), "{id}");
    ensure!(
        docker.ok(&[
            "image",
            "inspect",
            "-f",
            "{{json .RepoTags}} {{.Os}} {{json .Config.Cmd}}",
            "busybox"
        ])? == "[\"busybox:latest\"] linux [\"sh\"]"
    );
    docker.ok(&["tag", "busybox", "other/name:v1"])?;
    ensure!(docker.ok(&["images", "-q", "--no-trunc", "other/name"])? == id);
    // Loading again changes nothing.
    node.load_busybox()?;
    ensure!(
        docker.ok(&["images", "-q"])?.lines().count() == 2,
        "two names"
    );
    // A container keeps the image: its last name can't go, another can.
    docker.ok(&["create", "--name", "cc", "busybox", "true"])?;
    ensure!(
        docker
            .ok(&["rmi", "other/name:v1"])?
            .contains("Untagged: other/name:v1")
    );
    let ran = docker.run(&["rmi", "busybox"])?;
    ensure!(ran.code == 1 && ran.err.contains("conflict"), "{ran:?}");
    docker.ok(&["rm", "cc"])?;
    ensure!(docker.ok(&["rmi", "busybox"])?.contains("Deleted: "));
    ensure!(docker.ok(&["images", "-q"])?.is_empty());
    let ran = docker.run(&["rmi", "busybox"])?;
    ensure!(ran.code == 1 && ran.err.contains("busybox"), "{ran:?}");
    node.finish()
}

fn volumes_named_and_bound() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "--rm",
        "-v",
        "data:/d",
        "busybox",
        "sh",
        "-c",
        "echo kept > /d/f",
    ])?;
    ensure!(
        docker.ok(&[
            "run",
            "--rm",
            "-v",
            "data:/d:ro",
            "busybox",
            "sh",
            "-c",
            "cat /d/f; touch /d/g 2>/dev/null || echo refused"
        ])? == "kept\nrefused"
    );
    ensure!(docker.ok(&["volume", "ls", "-q"])? == "data");
    let place = docker.ok(&[
        "volume",
        "inspect",
        "-f",
        "{{.Driver}} {{.Mountpoint}}",
        "data",
    ])?;
    ensure!(
        place == format!("local {}/volumes/local/data/_data", node.root().display()),
        "{place}"
    );
    docker.ok(&[
        "create", "--name", "user", "-v", "data:/d", "busybox", "true",
    ])?;
    let ran = docker.run(&["volume", "rm", "data"])?;
    ensure!(ran.code == 1 && ran.err.contains("in use"), "{ran:?}");
    docker.ok(&["rm", "user"])?;
    docker.ok(&["volume", "rm", "data"])?;
    let ran = docker.run(&["volume", "inspect", "data"])?;
    ensure!(ran.code == 1 && ran.err.contains("data"), "{ran:?}");
    ensure!(docker.ok(&["volume", "create", "--label", "a=b", "named"])? == "named");
    ensure!(docker.ok(&["volume", "ls", "-q", "--filter", "label=a=b"])? == "named");
    docker.ok(&["volume", "rm", "named"])?;

    let host = node.dir().join("bound");
    std::fs::create_dir(&host)?;
    let bind = format!("{}:/b", host.display());
    docker.ok(&[
        "run",
        "--rm",
        "-v",
        &bind,
        "busybox",
        "sh",
        "-c",
        "echo from inside > /b/f",
    ])?;
    ensure!(std::fs::read_to_string(host.join("f"))? == "from inside\n");
    // A file can be bound as well.
    let file = format!("{}:/etc/note:ro", host.join("f").display());
    ensure!(
        docker.ok(&["run", "--rm", "-v", &file, "busybox", "cat", "/etc/note"])? == "from inside"
    );
    node.finish()
}

fn networks_of_every_driver() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let names = docker.ok(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"])?;
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    ensure!(
        names == ["bridge bridge", "host host", "none null"],
        "{names:?}"
    );
    ensure!(
        !docker
            .ok(&[
                "network",
                "inspect",
                "-f",
                "{{(index .IPAM.Config 0).Subnet}}",
                "bridge"
            ])?
            .is_empty()
    );
    let links = |network: &str| {
        docker.ok(&[
            "run",
            "--rm",
            "--network",
            network,
            "busybox",
            "sh",
            "-c",
            "ls /sys/class/net | sort | tr '\\n' ' '",
        ])
    };
    ensure!(links("none")? == "lo");
    ensure!(links("bridge")? == "eth0 lo");
    // The host's end of a veth that has just gone may be listed for a moment more.
    wait::until(
        "the host's own links inside",
        Duration::from_secs(5),
        || {
            let inside = links("host").map(|l| l.split_whitespace().count()).ok();
            inside.is_some()
                && inside == node.net.ip(&["-o", "link"]).map(|l| l.lines().count()).ok()
        },
    )?;
    let ran = docker.run(&["run", "--rm", "--network", "no-such-net", "busybox", "true"])?;
    ensure!(
        ran.code == 125 && ran.err.contains("no-such-net"),
        "{ran:?}"
    );
    node.finish()
}

fn containers_reach_each_other() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run", "-d", "--name", "web", "busybox", "httpd", "-f", "-h", "/var/www",
    ])?;
    let ip = docker.ok(&[
        "inspect",
        "-f",
        "{{.NetworkSettings.Networks.bridge.IPAddress}}",
        "web",
    ])?;
    web::get_when_up(&node.net, &format!("{ip}:80"))?;
    let page = docker.ok(&[
        "run",
        "--rm",
        "busybox",
        "wget",
        "-qO-",
        &format!("http://{ip}/"),
    ])?;
    ensure!(page.contains("hello"), "{page}");
    let resolv = docker.ok(&["exec", "web", "cat", "/etc/hosts"])?;
    ensure!(resolv.contains(&ip), "{resolv}");
    node.finish()
}

fn ports_are_published() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-p",
        "127.0.0.1:8082:80",
        "-p",
        "80",
        "busybox",
        "httpd",
        "-f",
        "-h",
        "/var/www",
    ])?;
    web::get_when_up(&node.net, "127.0.0.1:8080")?;
    ensure!(web::get(&node.net, "127.0.0.1:8082")?.contains("hello"));
    // A port of the daemon's choice is told.
    let ports = docker.ok(&["port", "web", "80/tcp"])?;
    let random = ports
        .lines()
        .find(|l| !l.ends_with(":8080") && !l.ends_with(":8082"));
    let random: u16 = random
        .and_then(|l| l.rsplit_once(':'))
        .and_then(|(_, p)| p.parse().ok())
        .unwrap_or(0);
    ensure!(random > 1024, "{ports}");
    ensure!(web::get(&node.net, &format!("127.0.0.1:{random}"))?.contains("hello"));
    // From another machine, as it were: a namespace with a veth to ours.
    let other = gantry_integration::netns::NetNs::new()?;
    let fd = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        std::os::fd::AsRawFd::as_raw_fd(other.file())
    );
    node.net.ip(&[
        "link", "add", "out0", "type", "veth", "peer", "name", "out1", "netns", &fd,
    ])?;
    node.net
        .ip(&["addr", "add", "192.0.2.1/24", "dev", "out0"])?;
    node.net.ip(&["link", "set", "out0", "up"])?;
    other.ip(&["addr", "add", "192.0.2.2/24", "dev", "out1"])?;
    other.ip(&["link", "set", "out1", "up"])?;
    ensure!(web::get_when_up(&other, "192.0.2.1:8080")?.contains("hello"));
    ensure!(
        web::get(&other, "192.0.2.1:8082").is_err(),
        "a port of 127.0.0.1 is not for others"
    );
    docker.ok(&["stop", "-t", "0", "web"])?;
    ensure!(
        web::get(&node.net, "127.0.0.1:8080").is_err(),
        "a stopped container serves nothing"
    );
    docker.ok(&["start", "web"])?;
    web::get_when_up(&node.net, "127.0.0.1:8080")?;
    node.net.ip(&["link", "del", "out0"])?;
    node.finish()
}

fn a_taken_port_is_an_error_and_nothing_more() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run", "-d", "--name", "one", "-p", "8080:80", "busybox", "httpd", "-f", "-h", "/var/www",
    ])?;
    let ran = docker.run(&[
        "run", "-d", "--name", "two", "-p", "8080:80", "busybox", "httpd", "-f",
    ])?;
    ensure!(ran.code == 125 && ran.err.contains("8080"), "{ran:?}");
    web::get_when_up(&node.net, "127.0.0.1:8080")?;
    // When the port is free the same container starts, with its network.
    docker.ok(&["rm", "-f", "one"])?;
    docker.ok(&["start", "two"])?;
    ensure!(
        !docker
            .ok(&[
                "inspect",
                "-f",
                "{{.NetworkSettings.Networks.bridge.IPAddress}}",
                "two"
            ])?
            .is_empty()
    );
    // A server of the host's own counts as well.
    let held = node
        .net
        .run(|| std::net::TcpListener::bind("0.0.0.0:9090"))?;
    let ran = docker.run(&["run", "--rm", "-p", "9090:80", "busybox", "true"])?;
    ensure!(ran.code == 125 && ran.err.contains("9090"), "{ran:?}");
    drop(held);
    docker.ok(&["run", "--rm", "-p", "9090:80", "busybox", "true"])?;
    node.finish()
}

fn version_and_info() -> Result<()> {
    let node = Node::start()?;
    let docker = node.docker();
    let version = docker.ok(&[
        "version",
        "--format",
        "{{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}}",
    ])?;
    ensure!(version.ends_with("1.24 linux"), "{version}");
    let info = docker.ok(&[
        "info",
        "--format",
        "{{.Driver}} {{.Containers}} {{.Images}} {{.DockerRootDir}}",
    ])?;
    ensure!(
        info == format!("overlay 0 0 {}", node.root().display()) || info.starts_with("overlay"),
        "{info}"
    );
    node.finish()
}
