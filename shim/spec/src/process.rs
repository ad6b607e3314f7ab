//! The process: what runs, as whom, with which environment.

use crate::capabilities::{granted, sets};
use crate::input::{ExecInput, Input};
use crate::resources::rlimits;
use crate::security::check_apparmor;
use gantry_model::container::{ProcessSpec, UserSpec};
use gantry_model::image::ImageConfig;
use gantry_model::{Error, Result};
use oci_spec::runtime::{Process, User};

/// Docker's default search path.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The first process of a container.
pub(crate) fn first(input: &Input<'_>) -> Result<Process> {
    let spec = &input.container.spec;
    check_apparmor(&spec.security)?;
    let args = command_line(&spec.process, input.image)?;
    let mut made = base(input, &spec.process.user, spec.process.terminal)?;
    made.set_args(Some(args))
        .set_cwd(directory(&spec.process.cwd, input.image).into());
    Ok(made)
}

/// One more process.
pub(crate) fn exec(input: &Input<'_>, exec: &ExecInput<'_>) -> Result<Process> {
    if exec.command.is_empty() {
        return Err(Error::invalid("no exec command specified"));
    }
    let spec = &input.container.spec;
    let user = match exec.user {
        // An exec as another user does not inherit the container's groups.
        Some(user) if !user.user.is_empty() || user.uid.is_some() => user,
        _ => &spec.process.user,
    };
    let mut made = base(input, user, exec.terminal)?;
    let mut env = made.env().clone().unwrap_or_default();
    if exec.terminal && !env.iter().any(|e| e.starts_with("TERM=")) {
        env.push("TERM=xterm".into());
    }
    set_all(&mut env, exec.env);
    let cwd = if exec.cwd.is_empty() {
        directory(&spec.process.cwd, input.image)
    } else {
        absolute(exec.cwd)
    };
    if exec.privileged {
        let all = gantry_model::container::SecuritySpec {
            privileged: true,
            ..Default::default()
        };
        made.set_capabilities(Some(sets(granted(&all, input.host.capabilities)?)));
    }
    made.set_args(Some(exec.command.to_vec()))
        .set_env(Some(env))
        .set_cwd(cwd.into());
    Ok(made)
}

fn base(input: &Input<'_>, who: &UserSpec, terminal: bool) -> Result<Process> {
    let spec = &input.container.spec;
    let mut made = Process::default();
    made.set_terminal(Some(terminal))
        .set_user(user(who, &input.image.user)?)
        .set_env(Some(environment(input)))
        .set_capabilities(Some(sets(granted(
            &spec.security,
            input.host.capabilities,
        )?)))
        .set_rlimits(Some(rlimits(&spec.resources)?).filter(|l| !l.is_empty()))
        .set_no_new_privileges(Some(spec.security.no_new_privileges))
        .set_apparmor_profile(None)
        .set_oom_score_adj(Some(spec.resources.oom_score_adj));
    Ok(made)
}

/// Entry point and arguments: naming an entry point drops the image's arguments.
///
/// # Errors
/// `InvalidArgument` when nothing is left to run.
pub fn command_line(process: &ProcessSpec, image: &ImageConfig) -> Result<Vec<String>> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|l| !l.is_empty());
    // `--entrypoint ""` says: none, not even the image's.
    let cleared = process
        .entrypoint
        .as_ref()
        .is_some_and(|e| e.len() == 1 && e[0].is_empty());
    let asked = given(&process.entrypoint).filter(|_| !cleared);
    let cmd = given(&process.cmd).or_else(|| {
        if asked.is_some() || cleared {
            None
        } else {
            image.cmd.clone()
        }
    });
    let entrypoint = asked.or_else(|| {
        if cleared {
            None
        } else {
            image.entrypoint.clone()
        }
    });
    let line: Vec<String> = entrypoint.into_iter().chain(cmd).flatten().collect();
    if line.is_empty() {
        Err(Error::invalid("no command specified"))
    } else {
        Ok(line)
    }
}

/// The environment: defaults, then the image's, then the user's.
#[must_use]
pub fn environment(input: &Input<'_>) -> Vec<String> {
    let process = &input.container.spec.process;
    let mut env = vec![PATH.to_owned()];
    if !input.hostname.is_empty() {
        env.push(format!("HOSTNAME={}", input.hostname));
    }
    if process.terminal {
        env.push("TERM=xterm".into());
    }
    set_all(&mut env, &input.image.env);
    set_all(&mut env, &process.env);
    env
}

/// Sets each `KEY=value`, in place where the key is there already; a bare `KEY` takes it away.
fn set_all(env: &mut Vec<String>, changes: &[String]) {
    for change in changes {
        let key = change.split_once('=').map(|(key, _)| key);
        let name = key.unwrap_or(change);
        let at = env
            .iter()
            .position(|e| e.split_once('=').is_some_and(|(k, _)| k == name));
        match (key, at) {
            (Some(_), Some(at)) => env[at].clone_from(change),
            (Some(_), None) => env.push(change.clone()),
            (None, Some(at)) => {
                env.remove(at);
            }
            (None, None) => {}
        }
    }
}

fn directory(asked: &str, image: &ImageConfig) -> String {
    absolute(if asked.is_empty() {
        &image.working_dir
    } else {
        asked
    })
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// The user, as the runtime resolves it inside the root (`gantry-oci`, `Launch::spec`): a name or number, then after
/// a `;` what else belongs to it.
fn user(who: &UserSpec, image: &str) -> Result<User> {
    let text = if who.user.is_empty() {
        image
    } else {
        who.user.as_str()
    };
    if text.contains([';', ','])
        || text.chars().any(char::is_control)
        || who.groups.iter().any(|g| g.contains([';', ',']))
    {
        return Err(Error::invalid(format!("invalid user {text:?}")));
    }
    if who.gid.is_some() && who.uid.is_none() && text.is_empty() {
        return Err(Error::invalid("a group without a user"));
    }
    let name = who
        .uid
        .map_or_else(|| text.to_owned(), |uid| uid.to_string());
    if who.must_not_be_root {
        check_not_root(&name)?;
    }
    let mut extra = Vec::new();
    if let Some(gid) = who.gid {
        extra.push(format!("gid={gid}"));
    }
    if who.strict_groups {
        extra.push("!".into());
    }
    extra.extend(who.groups.iter().cloned());
    let name = if name.is_empty() {
        "0".to_owned()
    } else {
        name
    };
    let mut made = User::default();
    made.set_username(Some(if extra.is_empty() {
        name
    } else {
        format!("{name};{}", extra.join(","))
    }));
    Ok(made)
}

/// Only a number can be judged without looking into the image.
fn check_not_root(name: &str) -> Result<()> {
    let user = name.split(':').next().unwrap_or_default();
    match user.parse::<u64>() {
        Ok(0) => Err(Error::failed_precondition(
            "container has runAsNonRoot and would run as root",
        )),
        Ok(_) => Ok(()),
        Err(_) if user.is_empty() => Err(Error::failed_precondition(
            "container has runAsNonRoot and image will run as root",
        )),
        Err(_) => Err(Error::failed_precondition(format!(
            "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
        ))),
    }
}
