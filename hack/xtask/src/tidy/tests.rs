//! Each rule of `tidy` finds what it is for and leaves good files alone.

use super::rules::{MAX_FILE, MAX_FN, MAX_INLINE_TESTS, source, words};

fn texts(file: &str, text: &str) -> Vec<String> {
    source(file, text).into_iter().map(|f| f.text).collect()
}

#[test]
fn a_good_file_passes() {
    assert!(source("a/src/b.rs", "//! Good.\n\nfn f() {\n    g();\n}\n").is_empty());
}

#[test]
fn the_first_line_says_what_the_file_is_for() {
    assert!(texts("a/src/b.rs", "fn f() {}\n")[0].contains("//!"));
}

#[test]
fn vague_and_mod_names_are_refused() {
    assert!(texts("a/src/b/mod.rs", "//! x\n")[0].contains("mod.rs"));
    assert!(texts("a/src/utils.rs", "//! x\n")[0].contains("utils"));
    assert!(texts("a/src/common/x.rs", "//! x\n")[0].contains("common"));
    // A word inside a longer name is fine.
    assert!(texts("a/src/commons_law.rs", "//! x\n").is_empty());
}

#[test]
fn a_declaration_over_several_lines_is_no_function() {
    let body = "        x();\n".repeat(120);
    let text = format!(
        "//! x\ntrait T {{\n    fn declared(\n        a: u8,\n    ) -> u8;\n    /* \n{body}    */\n    fn whole() {{\n        x();\n    }}\n}}\n"
    );
    let texts = texts("a/src/b.rs", &text);
    assert!(
        texts.iter().all(|t| !t.contains("function of")),
        "{texts:?}"
    );
}

#[test]
fn long_functions_are_found_at_any_depth() {
    let body = "        x();\n".repeat(MAX_FN);
    let text = format!("//! x\nimpl A {{\n    pub(crate) async fn f() {{\n{body}    }}\n}}\n");
    assert!(texts("a/src/b.rs", &text)[0].starts_with("function of 102 lines"));
    let short = "        x();\n".repeat(MAX_FN - 2);
    let text = format!("//! x\nimpl A {{\n    fn f() {{\n{short}    }}\n}}\n");
    assert!(texts("a/src/b.rs", &text).is_empty());
}

#[test]
fn tests_do_not_count_as_lines_of_a_file_but_have_their_own_limit() {
    let code = "// x\n".repeat(MAX_FILE - 1);
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "    // x\n".repeat(MAX_INLINE_TESTS - 3)
    );
    assert!(texts("a/src/b.rs", &format!("//! x\n{code}{tests}")).is_empty());
    assert!(texts("a/src/b.rs", &format!("//! x\n// y\n{code}{tests}"))[0].contains("601 lines"));
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "    // x\n".repeat(MAX_INLINE_TESTS)
    );
    assert!(texts("a/src/b.rs", &format!("//! x\n{tests}"))[0].contains("a/src/b/tests.rs"));
}

#[test]
fn an_ignored_test_needs_a_reason() {
    let bare = concat!("//! x\n#[", "ignore]\nfn f() {}\n");
    assert!(texts("a/src/b.rs", bare)[0].contains("says why"));
    assert!(texts("a/src/b.rs", "//! x\n#[ignore = \"slow\"]\nfn f() {}\n").is_empty());
}

#[test]
fn words_of_ones_own_are_found_with_their_line() {
    let found = words("README.md", "one\nmy-laptop\n", &["my-laptop".to_owned()]);
    assert_eq!(found[0].place, "README.md:2");
}
