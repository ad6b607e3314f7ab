//! Bad input through both doors: the right code, a text that names the thing, nothing left behind.

use anyhow::{Result, ensure};
use gantry_cri_api::v1;
use gantry_integration::http;
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri};
use serde_json::{Value, json};
use tonic::Code;

cases![
    docker_says_what_is_wrong,
    docker_survives_what_is_no_request,
    cri_says_what_is_wrong,
    cri_survives_what_is_no_message
];

fn message(body: &Value) -> &str {
    body["message"].as_str().unwrap_or_default()
}

/// What is wrong, the query, the image or `HostConfig` as JSON, the status, and what the text has to name.
const BAD_CREATES: [(&str, &str, &str, u16, &str); 14] = [
    (
        "missing image",
        "",
        r#"{"Image": "not/there:1"}"#,
        404,
        "not/there:1",
    ),
    (
        "bad reference",
        "",
        r#"{"Image": "UPPER CASE"}"#,
        400,
        "UPPER CASE",
    ),
    ("no image", "", r#"{"Cmd": ["true"]}"#, 400, "image"),
    (
        "bad name",
        "?name=%2Fa%20b",
        r#"{"Image": "busybox"}"#,
        400,
        "a b",
    ),
    (
        "name taken",
        "?name=taken",
        r#"{"Image": "busybox"}"#,
        409,
        "taken",
    ),
    (
        "relative target",
        "",
        r#"{"Binds": ["/tmp:relative"]}"#,
        400,
        "relative",
    ),
    (
        "bind of nothing",
        "",
        r#"{"Mounts": [{"Type": "bind", "Source": "/no/such/place", "Target": "/x"}]}"#,
        400,
        "/no/such/place",
    ),
    (
        "mount type",
        "",
        r#"{"Mounts": [{"Type": "magic", "Target": "/x"}]}"#,
        400,
        "magic",
    ),
    ("tiny memory", "", r#"{"Memory": 1024}"#, 400, "memory"),
    (
        "too many cpus",
        "",
        r#"{"NanoCpus": 9000000000000}"#,
        400,
        "CPU",
    ),
    (
        "bad capability",
        "",
        r#"{"CapAdd": ["NO_SUCH"]}"#,
        400,
        "NO_SUCH",
    ),
    (
        "bad port",
        "",
        r#"{"PortBindings": {"99999/tcp": [{"HostPort": "1"}]}}"#,
        400,
        "99999",
    ),
    (
        "bad host port",
        "",
        r#"{"PortBindings": {"80/tcp": [{"HostPort": "eighty"}]}}"#,
        400,
        "eighty",
    ),
    (
        "unknown runtime",
        "",
        r#"{"Runtime": "nonesuch"}"#,
        400,
        "nonesuch",
    ),
];

const BAD_PATHS: [(&str, &str, u16, &str); 9] = [
    ("POST", "/containers/nobody/start", 404, "nobody"),
    ("DELETE", "/volumes/nothing", 404, "nothing"),
    ("GET", "/networks/nowhere", 404, "nowhere"),
    ("GET", "/images/no%2Fimage/json", 404, "no/image"),
    ("GET", "/no/such/path", 404, "page not found"),
    ("GET", "/services", 503, "swarm"),
    ("POST", "/build?t=x", 501, "build"),
    ("GET", "/v1.23/version", 400, "1.23"),
    ("GET", "/v9.99/version", 400, "9.99"),
];

fn docker_says_what_is_wrong() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["create", "--name", "taken", "busybox", "true"])?;
    let mut wrong = Vec::new();
    let mut check = |what: &str, answer: http::Answer, status: u16, names: &str| {
        let said = message(&answer.json()).to_lowercase();
        if answer.status != status || !said.contains(&names.to_lowercase()) {
            wrong.push(format!(
                "{what}: {} {}, not {status} naming {names}",
                answer.status,
                answer.body.trim()
            ));
        }
    };
    for (what, query, text, status, names) in BAD_CREATES {
        let mut body: Value = serde_json::from_str(text)?;
        if body.get("Image").is_none() && body.get("Cmd").is_none() {
            body = json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": body});
        }
        let path = format!("/v1.50/containers/create{query}");
        check(
            what,
            node.api("POST", &path, body.to_string().as_bytes())?,
            status,
            names,
        );
    }
    for (method, path, status, names) in BAD_PATHS {
        check(
            &format!("{method} {path}"),
            node.api(method, path, b"{}")?,
            status,
            names,
        );
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A network is looked up when the container starts.
    let ran = docker.run(&["run", "--rm", "--network", "no-such-net", "busybox", "true"])?;
    ensure!(
        ran.code == 125 && ran.err.contains("no-such-net"),
        "{ran:?}"
    );
    ensure!(
        docker.ok(&["ps", "-a", "--format", "{{.Names}}"])? == "taken",
        "nothing is left behind"
    );
    ensure!(
        docker.ok(&["volume", "ls", "-q"])?.is_empty(),
        "nothing is left behind"
    );
    node.finish()
}

fn docker_survives_what_is_no_request() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    for body in [
        "{",
        "[]",
        "\"x\"",
        "{\"Image\": 7}",
        "{\"Image\": \"busybox\", \"HostConfig\": {\"Binds\": 3}}",
        "null",
        "",
    ] {
        let answer = node.api("POST", "/containers/create", body.as_bytes())?;
        ensure!(
            answer.status == 400 && !message(&answer.json()).is_empty(),
            "{body:?}: {} {}",
            answer.status,
            answer.body
        );
    }
    // Deeper than any parser should follow.
    let deep = "[".repeat(100_000);
    ensure!(
        node.api("POST", "/containers/create", deep.as_bytes())?
            .status
            == 400
    );
    // 100 MB of JSON: refused for its size, and not held in memory.
    let before = resident(&node)?;
    let big = vec![b' '; 100 << 20];
    let answer = node.api("POST", "/containers/create", &big)?;
    ensure!(
        matches!(answer.status, 400 | 413),
        "{} {}",
        answer.status,
        answer.body
    );
    ensure!(
        resident(&node)? < before + (30 << 10),
        "a large body is not kept: {before} kB, then {} kB",
        resident(&node)?
    );
    // An archive that is none.
    let answer = http::request(
        &node.socket("docker"),
        "POST",
        "/images/load",
        "application/x-tar",
        &[7; 4096],
    )?;
    ensure!(
        answer.status >= 400 || answer.body.contains("error"),
        "{} {}",
        answer.status,
        answer.body
    );
    ensure!(node.api("GET", "/_ping", b"")?.status == 200);
    ensure!(node.docker().ok(&["ps", "-aq"])?.is_empty());
    node.finish()
}

/// Resident memory of the daemon in kB.
fn resident(node: &Node) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid()))?;
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap_or("0 kB");
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn cri_says_what_is_wrong() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let api = node.cri()?;
    let logs = node.dir().display().to_string();
    let expect = |what: &str, result: Result<String, tonic::Status>, code: Code, names: &str| {
        let right = result
            .as_ref()
            .is_err_and(|s| s.code() == code && s.message().contains(names));
        ensure!(right, "{what}: {result:?}");
        Ok(())
    };
    let handler = v1::RunPodSandboxRequest {
        config: Some(cri::pod("h", &logs)),
        runtime_handler: "nonesuch".into(),
    };
    let answer = api
        .wait(api.runtime().run_pod_sandbox(handler))
        .map(|r| r.pod_sandbox_id);
    expect("handler", answer, Code::InvalidArgument, "nonesuch")?;
    let nothing = v1::RunPodSandboxRequest::default();
    let answer = api
        .wait(api.runtime().run_pod_sandbox(nothing))
        .map(|r| r.pod_sandbox_id);
    expect("no config", answer, Code::InvalidArgument, "config")?;
    let pod_config = cri::pod("p", &logs);
    let pod = api.run_pod(pod_config.clone())?;
    let create = |config: v1::ContainerConfig| api.create(&pod, config, pod_config.clone());
    expect(
        "missing image",
        create(cri::container("c", "not/there:1", &["true"])),
        Code::NotFound,
        "not/there:1",
    )?;
    expect(
        "bad reference",
        create(cri::container("c", "UPPER CASE", &["true"])),
        Code::InvalidArgument,
        "UPPER CASE",
    )?;
    expect(
        "no name",
        create(v1::ContainerConfig {
            metadata: None,
            ..cri::container("c", BUSYBOX, &["true"])
        }),
        Code::InvalidArgument,
        "metadata",
    )?;
    let mut bad_mount = cri::container("c", BUSYBOX, &["true"]);
    bad_mount.mounts.push(v1::Mount {
        container_path: "relative".into(),
        host_path: "/tmp".into(),
        ..Default::default()
    });
    expect(
        "bad mount",
        create(bad_mount),
        Code::InvalidArgument,
        "relative",
    )?;
    let mut bad_group = cri::container("c", BUSYBOX, &["true"]);
    bad_group.linux = Some(v1::LinuxContainerConfig {
        security_context: Some(v1::LinuxContainerSecurityContext {
            run_as_group: Some(v1::Int64Value { value: 5 }),
            ..Default::default()
        }),
        ..Default::default()
    });
    expect(
        "group without user",
        create(bad_group),
        Code::InvalidArgument,
        "user",
    )?;
    let other = api.create(
        "0123456789abcdef",
        cri::container("c", BUSYBOX, &["true"]),
        pod_config.clone(),
    );
    expect("unknown pod", other, Code::NotFound, "0123456789abcdef")?;
    let start = api.start("nobody").map(|()| String::new());
    expect("unknown container", start, Code::NotFound, "nobody")?;
    // Created, but what it should run is not in the image: start fails and says so; the container stays, as CRI has it.
    let id = create(cri::container("c", BUSYBOX, &["no-such-program"]))?;
    let start = api.start(&id);
    ensure!(
        start
            .as_ref()
            .is_err_and(|s| s.message().contains("no-such-program")),
        "{start:?}"
    );
    api.remove(&id)?;
    drop(api);
    node.finish()
}

fn cri_survives_what_is_no_message() -> Result<()> {
    let node = Node::start()?;
    // Not HTTP/2 at all.
    let answer = http::request(
        &node.socket("cri"),
        "POST",
        "/runtime.v1.RuntimeService/Version",
        "application/grpc",
        &[0xff; 100],
    );
    ensure!(answer.is_err() || answer.is_ok_and(|a| a.status >= 400));
    let api = node.cri()?;
    let huge = v1::VersionRequest {
        version: "x".repeat(100 << 20),
    };
    let answer = api.wait(api.runtime().version(huge));
    ensure!(answer.is_err(), "a message of 100 MB is refused");
    let api = node.cri()?;
    ensure!(
        api.wait(api.runtime().version(v1::VersionRequest::default()))
            .is_ok()
    );
    drop(api);
    node.finish()
}
