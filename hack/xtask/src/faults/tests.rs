//! Points are found in texts as people write them, and in binaries as linkers lay them out.

use super::scan::{calls, carried};

#[test]
fn calls_are_found_on_one_line_and_on_two() {
    let text = "//! x\nfn f() {\n    gantry_fault::point(\"a.b.before-c\")?;\n    gantry_fault::pass(\n        \"a.b.after-c\",\n    );\n}\n";
    let found: Vec<_> = calls(text)
        .into_iter()
        .map(|(l, n)| (l, n.unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            (3, "a.b.before-c".to_owned()),
            (4, "a.b.after-c".to_owned())
        ]
    );
}

#[test]
fn what_the_list_could_not_read_is_a_finding() {
    assert!(calls("gantry_fault::point(NAME)?;\n")[0].1.is_err());
    assert!(calls("gantry_fault::point(\"nodots\")?;\n")[0].1.is_err());
    assert!(calls("gantry_fault::point(\"A.b\")?;\n")[0].1.is_err());
    assert!(calls("use gantry_fault::point;\n")[0].1.is_err());
    assert!(calls("// gantry_fault::point(NAME)\n").is_empty());
}

#[test]
fn names_are_found_in_binaries() {
    let names = ["a.b.before-c".to_owned(), "x.y.after-z".to_owned()];
    let bytes = b"\0\x01other wordsa.b.before-cmore\0";
    assert_eq!(carried(bytes, names.iter()), ["a.b.before-c"]);
    assert!(carried(b"nothing a.b here", names.iter()).is_empty());
}
