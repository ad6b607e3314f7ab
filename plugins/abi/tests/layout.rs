//! The header is C11 without a warning, and its sizes and offsets are those of the Rust mirror.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

/// `layouts! { c_type = RustType { field, … } }`: what the mirror says, by the names of C.
macro_rules! layouts {
    ($($c:ident = $rust:ident { $($field:ident $(as $c_field:ident)?),+ $(,)? })+) => {
        fn mirror() -> BTreeMap<String, usize> {
            let mut all = BTreeMap::new();
            $(
                all.insert(format!("sizeof {}", stringify!($c)), size_of::<gantry_abi::$rust>());
                $(
                    let c_field = concat!($(stringify!($c_field), "|",)? stringify!($field));
                    let c_field = c_field.split('|').next().expect("split answers one at least");
                    let key = format!("offsetof {} {c_field}", stringify!($c));
                    all.insert(key, offset_of!(gantry_abi::$rust, $field));
                )+
            )+
            all
        }
    };
}

layouts! {
    gantry_fd = Fd { fd, ownership }
    gantry_lent_bytes = LentBytes { data, len }
    gantry_held_bytes = HeldBytes { data, len }
    gantry_request = Request { size, operation, deadline_ms, json, fds, fds_len, cancel_fd }
    gantry_answer = Answer { size, json, message, fds, fds_len, error_kind, held }
    gantry_host = Host { size, abi_major, abi_minor, ctx, log, progress, secret, check_cancel, netns_socket }
    gantry_plugin = Plugin {
        size, abi_major, abi_minor, kind, name, version, capabilities, init, table, release, close, quiesce,
    }
    gantry_snapshotter = Snapshotter { size, prepare, view, commit, mounts, remove, stat, list, usage, cleanup }
    gantry_snapshotter_diff = SnapshotterDiff { size, diff }
    gantry_network = Network { size, create, delete as delete_, join, leave, inspect, reconcile }
    gantry_network_stats = NetworkStats { size, stats }
    gantry_volume = Volume { size, create, remove, mount, unmount, inspect, list, usage }
    gantry_note = Note { owner_len, desc_len, note_type as type, owner, abi_major, abi_minor, kind, name }
}

/// Constants by the names of C.
fn constants() -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: u32| all.insert(name.to_owned(), value as usize);
    put("GANTRY_ABI_MAJOR", gantry_abi::ABI_MAJOR);
    put("GANTRY_ABI_MINOR", gantry_abi::ABI_MINOR);
    put("GANTRY_FD_LENT", gantry_abi::FD_LENT);
    put("GANTRY_FD_GIVEN", gantry_abi::FD_GIVEN);
    put("GANTRY_NOTE_TYPE", gantry_abi::NOTE_TYPE);
    put("GANTRY_DONE", gantry_abi::Outcome::Done as u32);
    put("GANTRY_NOT_DONE", gantry_abi::Outcome::NotDone as u32);
    put("GANTRY_UNKNOWN", gantry_abi::Outcome::Unknown as u32);
    for kind in gantry_abi::ERROR_KINDS {
        let name = format!("GANTRY_{}", kind.as_str().to_uppercase().replace(' ', "_"));
        put(&name, *kind as u32);
    }
    all
}

#[test]
fn header_and_mirror_agree() {
    let mirror = mirror();
    let constants = constants();
    let mut program =
        String::from("#include <stdio.h>\n#include \"gantry_plugin.h\"\nint main(void) {\n");
    for key in mirror.keys() {
        let mut words = key.split(' ').skip(1);
        let (c_type, field) = (words.next().expect("every key names a type"), words.next());
        let value = match field {
            Some(field) => format!("offsetof({c_type}, {field})"),
            None => format!("sizeof({c_type})"),
        };
        writeln!(program, "    printf(\"{key}=%zu\\n\", {value});")
            .expect("a string takes everything");
    }
    for key in constants.keys() {
        writeln!(program, "    printf(\"{key}=%zu\\n\", (size_t){key});")
            .expect("a string takes everything");
    }
    program.push_str("    return 0;\n}\n");
    let printed = run(&program);
    let in_c: BTreeMap<String, usize> = printed
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.parse().expect("C prints numbers")))
        .collect();
    let in_rust: BTreeMap<String, usize> = mirror.into_iter().chain(constants).collect();
    assert_eq!(in_c, in_rust);
}

fn run(program: &str) -> String {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("layout-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("cargo's folder for tests can be written");
    let (source, binary) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(&source, program).expect("cargo's folder for tests can be written");
    let out = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/include"))
        .arg("-o")
        .arg(&binary)
        .arg(&source)
        .output()
        .expect("a C compiler is installed");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let out = Command::new(&binary)
        .output()
        .expect("what was compiled runs");
    std::fs::remove_dir_all(&folder).expect("our own folder can be removed");
    String::from_utf8(out.stdout).expect("the program prints ASCII")
}

#[test]
fn the_order_of_functions_is_that_of_the_tables() {
    for (table, size) in [
        ("snapshotter", size_of::<gantry_abi::Snapshotter>()),
        ("snapshotter.diff", size_of::<gantry_abi::SnapshotterDiff>()),
        ("network", size_of::<gantry_abi::Network>()),
        ("network.stats", size_of::<gantry_abi::NetworkStats>()),
        ("volume", size_of::<gantry_abi::Volume>()),
    ] {
        let names = gantry_abi::functions_of(table).expect("a known table");
        assert_eq!((names.len() + 1) * size_of::<usize>(), size, "{table}");
        let c_type = format!("gantry_{}", table.replace('.', "_"));
        let mirror = mirror();
        for (index, name) in names.iter().enumerate() {
            let field = if *name == "delete" { "delete_" } else { name };
            assert_eq!(
                mirror[&format!("offsetof {c_type} {field}")],
                (index + 1) * size_of::<usize>(),
                "{table}.{name}"
            );
        }
    }
}
