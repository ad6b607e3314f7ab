//! The model's words to the wire's and back. Field by field, so that neither changes the other by accident.

use gantry_model::container::Resources;
use gantry_model::handler::{ExecCgroup, Runtime};
use gantry_model::mount::MountDescription;
use gantry_model::network::{Protocol, PublishedPort};
use gantry_model::supervisor as m;
use gantry_model::{ContainerId, Error, ErrorKind, ExecId, Timestamp};
use gantry_supervisor_proto as proto;
use gantry_supervisor_proto::types as t;

pub(crate) fn error(from: proto::WireError) -> Error {
    use proto::ErrorKind as W;
    let kind = match from.kind {
        W::InvalidArgument => ErrorKind::InvalidArgument,
        W::NotFound => ErrorKind::NotFound,
        W::AlreadyExists => ErrorKind::AlreadyExists,
        W::Conflict => ErrorKind::Conflict,
        W::FailedPrecondition => ErrorKind::FailedPrecondition,
        W::NotModified => ErrorKind::NotModified,
        W::Unavailable => ErrorKind::Unavailable,
        W::ResourceExhausted => ErrorKind::ResourceExhausted,
        W::PermissionDenied => ErrorKind::PermissionDenied,
        W::Unimplemented => ErrorKind::Unimplemented,
        W::CommandNotFound => ErrorKind::CommandNotFound,
        W::CommandNotExecutable => ErrorKind::CommandNotExecutable,
        W::Internal => ErrorKind::Internal,
    };
    Error::new(kind, from.message)
}

fn namespace(from: m::NamespaceMode) -> t::Namespace {
    match from {
        m::NamespaceMode::Own => t::Namespace::Own,
        m::NamespaceMode::Host => t::Namespace::Host,
    }
}

pub(crate) fn prepare(
    from: &m::SandboxLaunch,
    own_cgroup: String,
    netns_link: String,
) -> t::Prepare {
    t::Prepare {
        hostname: from.hostname.clone(),
        domainname: from.domainname.clone(),
        network: namespace(from.network),
        ipc: namespace(from.ipc),
        uts: namespace(from.uts),
        pid: match from.pid {
            m::PidMode::Container => t::PidMode::Container,
            m::PidMode::Host => t::PidMode::Host,
            m::PidMode::Pod => t::PidMode::Pod,
        },
        sysctls: from.sysctls.clone(),
        cgroup: from.cgroup.clone(),
        own_cgroup,
        netns_link,
    }
}

pub(crate) fn port(from: &PublishedPort) -> t::Port {
    t::Port {
        protocol: match from.protocol {
            Protocol::Tcp | Protocol::Udp | Protocol::Sctp => from.protocol.as_str().to_owned(),
        },
        address: from.host_ip.clone(),
        port: from.host_port,
    }
}

fn mount(from: &MountDescription) -> t::Mount {
    t::Mount {
        kind: from.kind.clone(),
        source: from.source.clone(),
        options: from.options.clone(),
        lower: from.lower.clone(),
        upper: from.upper.clone(),
        work: from.work.clone(),
    }
}

fn runtime(from: &Runtime) -> t::Runtime {
    let exec_cgroup = match from.exec_cgroup {
        ExecCgroup::None => "",
        ExecCgroup::Plain => "plain",
        ExecCgroup::Controller => "controller",
    };
    t::Runtime {
        name: from.name.clone(),
        path: from.path.clone(),
        options: from.options.clone(),
        version: from.version.clone(),
        exec_cgroup: exec_cgroup.to_owned(),
        timeout_ms: from.timeout_ms,
    }
}

pub(crate) fn create(from: &m::ContainerLaunch) -> t::Create {
    t::Create {
        id: from.id.to_string(),
        run: from.run,
        config: from.config.clone(),
        rootfs: from.rootfs.iter().map(mount).collect(),
        rootfs_readonly: from.rootfs_readonly,
        terminal: from.terminal,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        cgroup: from.cgroup.clone(),
        runtime: from.runtime.as_ref().map(runtime),
        log: match &from.log {
            m::LogSink::None => t::Log::None,
            m::LogSink::Cri { path } => t::Log::Cri { path: path.clone() },
            m::LogSink::JsonFile {
                path,
                max_size,
                max_files,
                compress,
            } => t::Log::JsonFile {
                path: path.clone(),
                max_size: *max_size,
                max_files: *max_files,
                compress: *compress,
            },
            m::LogSink::Local {
                path,
                max_size,
                max_files,
                compress,
            } => t::Log::Local {
                path: path.clone(),
                max_size: *max_size,
                max_files: *max_files,
                compress: *compress,
            },
        },
    }
}

pub(crate) fn exec(from: &m::ExecLaunch) -> t::ExecCreate {
    t::ExecCreate {
        id: from.id.to_string(),
        container: from.container.to_string(),
        process: from.process.clone(),
        terminal: from.terminal,
        stdin: from.stdin,
        timeout_ms: from.timeout_ms,
        tied: from.tied,
        output_limit: from.output_limit,
    }
}

pub(crate) fn target(from: &m::Target) -> t::Target {
    match from {
        m::Target::Container(id) => t::Target::Container(id.to_string()),
        m::Target::Exec(id) => t::Target::Exec(id.to_string()),
    }
}

pub(crate) fn stats(from: t::Stats) -> m::Stats {
    m::Stats {
        at: Timestamp(from.at),
        cpu_total: from.cpu_total,
        cpu_user: from.cpu_user,
        cpu_system: from.cpu_system,
        memory_usage: from.memory_usage,
        memory_inactive_file: from.memory_inactive_file,
        memory_limit: from.memory_limit,
        pids: from.pids,
        pids_limit: from.pids_limit,
        cpu_per_core: from.cpu_per_core,
        throttling: m::Throttling {
            periods: from.throttling_periods,
            throttled: from.throttled_periods,
            time: from.throttled_time,
        },
        memory_stat: from.memory_stat,
        memory_peak: from.memory_peak,
        memory_failures: from.memory_failures,
        block_io: from.block_io.iter().map(block_io).collect(),
        interfaces: from.interfaces.into_iter().map(interface).collect(),
    }
}

fn block_io(from: &t::BlockIo) -> m::BlockIo {
    m::BlockIo {
        major: from.major,
        minor: from.minor,
        read_bytes: from.read_bytes,
        write_bytes: from.write_bytes,
        reads: from.reads,
        writes: from.writes,
    }
}

fn interface(from: t::Interface) -> m::InterfaceCounters {
    m::InterfaceCounters {
        name: from.name,
        rx_bytes: from.rx_bytes,
        rx_packets: from.rx_packets,
        rx_errors: from.rx_errors,
        rx_dropped: from.rx_dropped,
        tx_bytes: from.tx_bytes,
        tx_packets: from.tx_packets,
        tx_errors: from.tx_errors,
        tx_dropped: from.tx_dropped,
    }
}

/// Only what a running container's limits can be changed to.
pub(crate) fn limits(from: &Resources) -> t::Limits {
    t::Limits {
        memory: from.memory,
        memory_swap: from.memory_swap,
        memory_reservation: from.memory_reservation,
        nano_cpus: from.nano_cpus,
        cpu_quota: from.cpu_quota,
        cpu_period: from.cpu_period,
        cpu_shares: from.cpu_shares,
        cpuset_cpus: from.cpuset_cpus.clone(),
        cpuset_mems: from.cpuset_mems.clone(),
        pids: from.pids_limit.unwrap_or(0),
        unified: from.unified.clone(),
    }
}

fn exit(from: t::Exit) -> m::Exit {
    m::Exit {
        code: from.code,
        at: Timestamp(from.at),
        oom: from.oom,
        timed_out: from.timed_out,
        unknown: false,
    }
}

/// `None` for an event of a newer supervisor, or one with an id that is none.
pub(crate) fn event(from: proto::Event) -> Option<m::SupervisorEvent> {
    match from {
        proto::Event::Exited { id, run, exit: how } => Some(m::SupervisorEvent::Exited {
            id: ContainerId::parse(&id).ok()?,
            run,
            exit: exit(how),
        }),
        proto::Event::ExecExited { id, exit: how } => Some(m::SupervisorEvent::ExecExited {
            id: ExecId::parse(&id).ok()?,
            exit: exit(how),
        }),
        proto::Event::Other => None,
    }
}

pub(crate) fn task(from: proto::files::Task) -> Option<m::TaskRecord> {
    Some(m::TaskRecord {
        id: ContainerId::parse(&from.id).ok()?,
        run: from.run,
        state: match from.state {
            t::TaskState::Created => m::TaskState::Created,
            t::TaskState::Running => m::TaskState::Running,
            t::TaskState::Paused => m::TaskState::Paused,
            t::TaskState::Exited => m::TaskState::Exited,
        },
        pid: from.pid,
        started_at: Timestamp(from.started_at),
        exit: from.exit.map(exit),
    })
}
