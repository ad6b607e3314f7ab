//! From the locks to the last signal.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gantry_admin::AdminConfig;
use gantry_cri::CriConfig;
use gantry_docker::DockerConfig;
use gantry_engine::Engine;
use gantry_telemetry::{Export, FilterHandle, Format, Settings, Telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, LogFormat};
use crate::{Args, lock, machine, notify, settings, sockets, wire};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long requests in progress may take to end after TERM.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until TERM or INT.
///
/// # Errors
/// What keeps it from starting, or a door that broke.
pub(crate) fn run(config: &Config, args: &Args) -> Result<()> {
    machine::check()?;
    let _locks = lock::take(config)?;
    // Before any thread is started; a limit that cannot be raised is the one we live with.
    if let Err(error) = gantry_sys::descriptors::raise() {
        eprintln!("gantryd: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("gantryd")
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let telemetry = telemetry(config)?;
        let result = serve(config, args, telemetry.filter()).await;
        telemetry.shutdown(Duration::from_secs(2)).await;
        result
    })
}

fn telemetry(config: &Config) -> Result<Telemetry> {
    let settings = Settings {
        filter: config.log.filter.clone(),
        format: match config.log.format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
        service: "gantryd",
        version: VERSION,
        instance: Some(config.instance.clone()),
        export: Export::from_env(|name| std::env::var(name).ok())?,
    };
    Ok(gantry_telemetry::init(&settings)?)
}

async fn serve(config: &Config, args: &Args, filter: &FilterHandle) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let began = std::time::Instant::now();
    let engine = wire::engine(config, &args.plugin_dir).await?;
    let (stop, stopped) = watch::channel(false);
    let (ready, is_ready) = watch::channel(false);
    let mut doors = open(config, &engine, filter, &stopped, is_ready)?;
    gantry_fault::pass("daemon.start.after-doors");
    ready.send_replace(true);
    notify::tell("READY=1");
    tracing::info!(
        instance = config.instance,
        run = %config.run.display(),
        took_ms = began.elapsed().as_millis(),
        "ready"
    );
    let broken = loop {
        tokio::select! {
            _ = term.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = hangup.recv() => reload(args, filter),
            broken = first_end(&mut doors) => break Some(broken),
        }
    };
    notify::tell("STOPPING=1");
    tracing::info!("stopping; containers stay");
    stop.send_replace(true);
    let ended = async {
        for door in doors {
            // A door that panicked has said so already.
            let _ = door.await;
        }
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!("requests in progress were cut off");
    }
    broken.unwrap_or(Ok(()))
}

type Door = JoinHandle<Result<()>>;

fn open(
    config: &Config,
    engine: &Engine,
    filter: &FilterHandle,
    stopped: &watch::Receiver<bool>,
    is_ready: watch::Receiver<bool>,
) -> Result<Vec<Door>> {
    let group = sockets::group(&config.sockets.group)?;
    let cri = sockets::listen(&config.run.join("cri.sock"), 0o660, group)?;
    let docker = sockets::listen(&config.run.join("docker.sock"), 0o660, group)?;
    let admin = sockets::listen(&config.run.join("gantry.sock"), 0o600, None)?;
    let end = || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.wait_for(|stopped| *stopped).await) }
    };
    let cri_config = CriConfig {
        version: VERSION.to_owned(),
    };
    let docker_config = DockerConfig {
        min_api: config.docker.min_api.parse().ok().with_context(|| {
            format!(
                "docker.min_api = {:?} is not an API version such as \"1.24\"",
                config.docker.min_api
            )
        })?,
        show_all: config.docker.show_all,
        ..DockerConfig::default()
    };
    let handle = filter.clone();
    let admin_config = AdminConfig {
        version: VERSION.to_owned(),
        allowed_uid: 0,
        ready: is_ready,
        set_log_filter: Arc::new(move |text| {
            let set = handle.set_filter(text).and_then(|()| handle.filter());
            set.map_err(|error| gantry_model::Error::invalid(error.to_string()))
        }),
    };
    let (e1, e2, e3) = (engine.clone(), engine.clone(), engine.clone());
    let (s1, s2, s3) = (end(), end(), end());
    Ok(vec![
        tokio::spawn(async move { Ok(gantry_cri::serve(cri, e1, cri_config, s1).await?) }),
        tokio::spawn(async move {
            gantry_docker::serve(docker, e2, docker_config, s2).await;
            Ok(())
        }),
        tokio::spawn(async move { Ok(gantry_admin::serve(admin, e3, admin_config, s3).await?) }),
    ])
}

/// The first door that ends although nobody asked it to.
async fn first_end(doors: &mut [Door]) -> Result<()> {
    let ended = std::future::poll_fn(|context| {
        for door in doors.iter_mut() {
            if let std::task::Poll::Ready(result) = std::pin::Pin::new(door).poll(context) {
                return std::task::Poll::Ready(result);
            }
        }
        std::task::Poll::Pending
    });
    ended
        .await
        .context("a door ended in a panic")?
        .context("a door broke")
}

/// HUP: takes over what can be changed while running and says what cannot.
fn reload(args: &Args, filter: &FilterHandle) {
    match settings(args) {
        Ok(config) => match filter.set_filter(&config.log.filter) {
            Ok(()) => tracing::info!(
                filter = config.log.filter,
                "reloaded log.filter; every other key takes effect at the next start"
            ),
            Err(error) => tracing::error!(%error, "reloading log.filter"),
        },
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "the configuration was not reloaded"
        ),
    }
}
