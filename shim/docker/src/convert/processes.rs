//! What `ps` is asked, and what it says, as `docker top` shows it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::response::Failure;

/// Longest arguments that are handed to `ps`.
const MAX_ARGS: usize = 1024;

/// Refuses arguments that would give another column the title processes are found by.
///
/// # Errors
/// dockerd's words.
pub(crate) fn check(args: &str) -> Result<(), Failure> {
    if args.len() > MAX_ARGS || args.contains('\0') {
        return Err(Failure::bad_request(
            "ps_args are longer than the limit or no text",
        ));
    }
    // `-o pid=PID` is the one column that may be called so.
    let mut rest = args;
    while let Some(at) = rest.find('=') {
        let key = rest[..at]
            .rsplit(|c: char| c.is_ascii_whitespace())
            .next()
            .unwrap_or_default();
        let had_space = rest[..at].len() > key.len();
        let after = rest[at + 1..].trim_start();
        if had_space && after.starts_with("PID") && key != "pid" {
            let value = after.split_ascii_whitespace().next().unwrap_or_default();
            return Err(Failure::new(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                format!("specifying \"{key}={value}\" is not allowed"),
            ));
        }
        rest = &rest[at + 1..];
    }
    Ok(())
}

/// `-q1,2,3`: these processes alone.
pub(crate) fn selection(pids: &[i32]) -> String {
    let list: Vec<String> = pids.iter().map(i32::to_string).collect();
    format!("-q{}", list.join(","))
}

/// The table's lines of these processes (and of their threads, whose process id may be `-`).
///
/// # Errors
/// dockerd's words for a table without process ids.
pub(crate) fn parse(output: &str, pids: &[i32]) -> Result<Value, String> {
    let pids: BTreeSet<i32> = pids.iter().copied().collect();
    let mut lines = output.lines();
    let titles: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    let column = titles
        .iter()
        .position(|title| *title == "PID")
        .ok_or("Couldn't find PID field in ps output")?;
    let mut processes: Vec<Vec<String>> = Vec::new();
    let mut was_ours = false;
    for line in lines {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some(pid) = fields.get(column) else {
            continue;
        };
        if *pid != "-" {
            let pid: i32 = pid
                .parse()
                .map_err(|error| format!("Unexpected pid '{pid}': {error}"))?;
            was_ours = pids.contains(&pid);
        }
        if was_ours {
            // What is over belongs to the last column: the command.
            let last = (titles.len() - 1).min(fields.len());
            let mut row: Vec<String> = fields[..last].iter().map(|f| (*f).to_owned()).collect();
            row.push(fields[last..].join(" "));
            processes.push(row);
        }
    }
    Ok(json!({ "Titles": titles, "Processes": processes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "UID        PID  PPID CMD\nroot         7     1 sleep 100\nroot        70     1 other\n\
        root         -     - thread of other\nuser         8     7 sh -c a  b\nroot - - thread of ours\n\n";

    #[test]
    fn only_the_containers_processes_are_shown() {
        assert_eq!(
            parse(TABLE, &[7, 8, 9]).unwrap(),
            json!({
                "Titles": ["UID", "PID", "PPID", "CMD"],
                "Processes": [
                    ["root", "7", "1", "sleep 100"],
                    ["user", "8", "7", "sh -c a b"],
                    ["root", "-", "-", "thread of ours"],
                ],
            })
        );
    }

    #[test]
    fn a_table_without_pids_is_refused() {
        assert_eq!(
            parse("USER CMD\nroot x", &[1]).unwrap_err(),
            "Couldn't find PID field in ps output"
        );
        assert!(
            parse("PID CMD\nx y", &[1])
                .unwrap_err()
                .starts_with("Unexpected pid 'x'")
        );
        assert!(parse("", &[1]).is_err());
        assert_eq!(parse("PID", &[1]).unwrap()["Processes"], json!([]));
    }

    #[test]
    fn no_other_column_may_be_called_pid() {
        for (args, refused) in [
            ("-ef", None),
            ("-o pid=PID -o comm", None),
            ("-o pid=PID -o user=PIDX", Some("\"user=PIDX\"")),
            (
                "-o comm=PID",
                Some("specifying \"comm=PID\" is not allowed"),
            ),
            ("-o comm= PID", Some("comm=PID")),
            ("aux=1", None),
        ] {
            match (check(args), refused) {
                (Ok(()), None) => {}
                (Err(failure), Some(text)) => {
                    assert!(failure.message.contains(text), "{}", failure.message);
                }
                (result, _) => panic!("{args}: {result:?}"),
            }
        }
        assert_eq!(check(&"x".repeat(2000)).unwrap_err().status.as_u16(), 400);
        assert_eq!(selection(&[1, 22]), "-q1,22");
    }
}
