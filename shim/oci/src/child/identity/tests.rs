//! Every way of naming a user, with files that try to fool us.

use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
app:x:1000:1001::/home/app:/bin/sh
4294967296:x:0:0::/evil:/bin/sh
1234:x:0:0::/evil:/bin/sh
0x0:x:0:0::/evil:/bin/sh
-1:x:0:0::/evil:/bin/sh
broken
huge:x:4294967295:0::/:/bin/sh
";
const GROUP: &str = "root:x:0:
app:x:1001:
video:x:44:app,other
wheel:x:10:other
bad
";

fn get(text: &str) -> Result<Identity> {
    named(text, vec![7], PASSWD, GROUP)
}

fn ids(text: &str) -> (u32, u32, Vec<u32>) {
    let i = get(text).unwrap();
    (i.uid, i.gid, i.groups)
}

#[test]
fn names_and_numbers() {
    assert_eq!(ids("app"), (1000, 1001, vec![1001, 44, 7]));
    assert_eq!(ids("1000"), (1000, 1001, vec![1001, 44, 7]));
    assert_eq!(ids("1"), (1, 0, vec![0, 7]));
    assert_eq!(ids("01"), (1, 0, vec![0, 7]));
    assert_eq!(ids("1:"), (1, 0, vec![0, 7]));
    assert_eq!(ids(":1"), (0, 1, vec![1, 7]));
    assert_eq!(ids("1:2"), (1, 2, vec![2, 7]));
    assert_eq!(ids("app:video"), (1000, 44, vec![44, 7]));
    assert_eq!(get("app").unwrap().home.as_deref(), Some("/home/app"));
}

#[test]
fn a_pods_numbers_groups_and_strictness() {
    assert_eq!(ids("1000;gid=55"), (1000, 55, vec![55, 44, 7]));
    assert_eq!(ids("1000;gid=0"), (1000, 0, vec![0, 44, 7]));
    assert_eq!(ids("1000;!"), (1000, 1001, vec![1001, 7]));
    assert_eq!(
        ids("1000;!,wheel,99,gid=55"),
        (1000, 55, vec![55, 10, 99, 7])
    );
    assert_eq!(get("1000;nope").unwrap_err().kind, FailureKind::User);
    assert_eq!(
        get("1000;gid=4294967295").unwrap_err().kind,
        FailureKind::User
    );
}

#[test]
fn digits_are_never_names_and_never_wrap() {
    assert_eq!(ids("1234").0, 1234);
    for bad in [
        "4294967296",
        "4294967295",
        "2147483648",
        "-1",
        "+1",
        "0x0",
        "4294967295:0",
        "1:4294967296",
        "huge",
        "a\nb",
    ] {
        assert_eq!(get(bad).unwrap_err().kind, FailureKind::User, "{bad}");
    }
    assert_eq!(ids("2147483647").0, 2_147_483_647);
}

#[test]
fn unknown_ones_are_named_as_docker_does() {
    assert_eq!(
        get("nobody").unwrap_err().message,
        "unable to find user nobody: no matching entries in passwd file"
    );
    assert_eq!(
        get("app:nobody").unwrap_err().message,
        "unable to find group nobody: no matching entries in group file"
    );
}
