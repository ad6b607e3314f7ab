//! A small CRI client for people: enough to look at pods and containers where `crictl` is not installed.
//! It prints what it gets and decides nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use gantry_cri_api::v1;
use gantry_integration::cri::{self, Cri};

#[derive(Parser)]
#[command(about = "A small CRI client", version)]
struct Args {
    /// Run folder of gantryd; its `cri.sock` is used.
    #[arg(long, env = "GANTRY_RUN", default_value = "/run/gantry")]
    run: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Name and version of the runtime.
    Version,
    /// Run a pod; prints its id.
    Runp {
        /// The pod's name.
        name: String,
        /// Folder of its containers' logs.
        #[arg(long, default_value = "")]
        logs: String,
    },
    /// Create a container in a pod; prints its id.
    Create {
        /// The pod's id.
        pod: String,
        /// The container's name.
        name: String,
        /// Image name.
        image: String,
        /// The command; the image's own without it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Start a container.
    Start {
        /// Its id.
        id: String,
    },
    /// Run a command in a container and wait for it.
    Exec {
        /// The container's id.
        id: String,
        /// The command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// List pods.
    Pods,
    /// List containers.
    Ps,
    /// List images.
    Images,
    /// Pull an image.
    Pull {
        /// Its name.
        image: String,
    },
    /// The address of a pod.
    Ip {
        /// The pod's id.
        pod: String,
    },
    /// Stop a container.
    Stop {
        /// Its id.
        id: String,
        /// Seconds before it is killed.
        #[arg(long, default_value_t = 10)]
        grace: i64,
    },
    /// Remove a container.
    Rm {
        /// Its id.
        id: String,
    },
    /// Stop and remove a pod and its containers.
    Rmp {
        /// Its id.
        pod: String,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gantry-cri-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(
    clippy::print_stdout,
    reason = "what was asked for goes to standard output"
)]
fn run(args: Args) -> Result<ExitCode> {
    let cri = Cri::connect(&args.run.join("cri.sock"))?;
    let said = match args.verb {
        Verb::Exec { id, command } => return exec(&cri, &id, &command),
        Verb::Version => version(&cri)?,
        Verb::Runp { name, logs } => cri.run_pod(cri::pod(&name, &logs))?,
        Verb::Create {
            pod,
            name,
            image,
            command,
        } => create(&cri, &pod, &name, &image, command)?,
        Verb::Start { id } => cri.start(&id).map(|()| id)?,
        Verb::Pods => pods(&cri)?,
        Verb::Ps => containers(&cri)?,
        Verb::Images => images(&cri)?,
        Verb::Pull { image } => pull(&cri, image)?,
        Verb::Ip { pod } => pod_status(&cri, &pod)?.network.unwrap_or_default().ip,
        Verb::Stop { id, grace } => cri.stop(&id, grace).map(|()| id)?,
        Verb::Rm { id } => cri.remove(&id).map(|()| id)?,
        Verb::Rmp { pod } => cri.remove_pod(&pod).map(|()| pod)?,
    };
    println!("{said}");
    Ok(ExitCode::SUCCESS)
}

fn version(cri: &Cri) -> Result<String> {
    let request = v1::VersionRequest {
        version: "v1".to_owned(),
    };
    let v = cri.wait(cri.runtime().version(request))?;
    Ok(format!(
        "{} {} (CRI {})",
        v.runtime_name, v.runtime_version, v.runtime_api_version
    ))
}

fn pod_status(cri: &Cri, pod: &str) -> Result<v1::PodSandboxStatus> {
    let request = v1::PodSandboxStatusRequest {
        pod_sandbox_id: pod.to_owned(),
        verbose: false,
    };
    cri.wait(cri.runtime().pod_sandbox_status(request))?
        .status
        .context("an answer without a status")
}

fn create(cri: &Cri, pod: &str, name: &str, image: &str, command: Vec<String>) -> Result<String> {
    let status = pod_status(cri, pod)?;
    let metadata = status.metadata.context("a pod without a name")?;
    let mut container = cri::container(name, image, &[]);
    container.command = command;
    // The log folder is the pod's; CRI wants it again, and does not answer what it was.
    let sandbox = v1::PodSandboxConfig {
        metadata: Some(metadata),
        ..Default::default()
    };
    Ok(cri.create(pod, container, sandbox)?)
}

#[allow(
    clippy::print_stdout,
    reason = "what was asked for goes to standard output"
)]
fn exec(cri: &Cri, id: &str, command: &[String]) -> Result<ExitCode> {
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let answer = cri.exec(id, &command, 60)?;
    print!("{}", String::from_utf8_lossy(&answer.stdout));
    eprint!("{}", String::from_utf8_lossy(&answer.stderr));
    match u8::try_from(answer.exit_code) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(_) => bail!("exit code {}", answer.exit_code),
    }
}

fn pods(cri: &Cri) -> Result<String> {
    let answer = cri.wait(
        cri.runtime()
            .list_pod_sandbox(v1::ListPodSandboxRequest::default()),
    )?;
    let mut rows = vec![["POD", "NAME", "NAMESPACE", "STATE"].map(str::to_owned)];
    for pod in answer.items {
        let meta = pod.metadata.clone().unwrap_or_default();
        let state = pod
            .state()
            .as_str_name()
            .trim_start_matches("SANDBOX_")
            .to_lowercase();
        rows.push([
            pod.id[..12.min(pod.id.len())].to_owned(),
            meta.name,
            meta.namespace,
            state,
        ]);
    }
    Ok(table(&rows))
}

fn containers(cri: &Cri) -> Result<String> {
    let answer = cri.wait(
        cri.runtime()
            .list_containers(v1::ListContainersRequest::default()),
    )?;
    let mut rows = vec![["CONTAINER", "NAME", "POD", "STATE"].map(str::to_owned)];
    for c in answer.containers {
        let state = c
            .state()
            .as_str_name()
            .trim_start_matches("CONTAINER_")
            .to_lowercase();
        let short = |id: &str| id[..12.min(id.len())].to_owned();
        rows.push([
            short(&c.id),
            c.metadata.clone().unwrap_or_default().name,
            short(&c.pod_sandbox_id),
            state,
        ]);
    }
    Ok(table(&rows))
}

fn images(cri: &Cri) -> Result<String> {
    let answer = cri.wait(cri.images().list_images(v1::ListImagesRequest::default()))?;
    let mut rows = vec![["IMAGE", "TAGS", "SIZE", "PINNED"].map(str::to_owned)];
    for image in answer.images {
        let id = image.id.trim_start_matches("sha256:");
        let id = id[..12.min(id.len())].to_owned();
        rows.push([
            id,
            image.repo_tags.join(" "),
            image.size.to_string(),
            image.pinned.to_string(),
        ]);
    }
    Ok(table(&rows))
}

fn pull(cri: &Cri, image: String) -> Result<String> {
    let image = Some(v1::ImageSpec {
        image,
        ..Default::default()
    });
    let request = v1::PullImageRequest {
        image,
        auth: None,
        sandbox_config: None,
    };
    Ok(cri.wait(cri.images().pull_image(request))?.image_ref)
}

fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let line = |r: &[String; 4]| {
        format!(
            "{:w0$}  {:w1$}  {:w2$}  {}",
            r[0],
            r[1],
            r[2],
            r[3],
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2]
        )
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
