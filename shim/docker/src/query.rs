//! Query strings: percent-decoding, and Docker's way to read booleans and numbers in them.

use crate::response::Failure;

/// A request's query, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c`.
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            text.split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key, true), decode(value, true))
                })
                .collect(),
        )
    }

    /// The first value under the key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// As [`Query::get`], with an empty value counted as not given.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// Docker's booleans: everything is true but nothing, `0`, `no`, `false` and `none`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        let value = self.get(key).unwrap_or("").trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// As [`Query::flag`], with what it means when it is not there.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> bool {
        if self.get(key).is_some() {
            self.flag(key)
        } else {
            default
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 naming the key and the text.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Failure::bad_request(format!("invalid value for {key:?}: {text:?} is no number"))
        })
    }
}

/// Undoes percent-encoding; `+` is a space in queries only. What is not valid is left as it is.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits"));
                at += 3;
            }
            (b'+', ..) if plus => {
                out.push(b' ');
                at += 1;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Query, decode};

    #[test]
    fn reads_queries() {
        let query = Query::parse("a=1&b=%2Ftmp%2F&c&d=x+y&e=%zz&f=0&g=false&&t=5");
        assert_eq!(query.get("b"), Some("/tmp/"));
        assert_eq!(query.get("c"), Some(""));
        assert_eq!(query.text("c"), None);
        assert_eq!(query.get("d"), Some("x y"));
        assert_eq!(query.get("e"), Some("%zz"));
        for (key, expected) in [
            ("a", true),
            ("c", false),
            ("f", false),
            ("g", false),
            ("d", true),
        ] {
            assert_eq!(query.flag(key), expected, "{key}");
        }
        assert!(query.flag_or("nope", true));
        assert_eq!(query.number::<i64>("t").unwrap(), Some(5));
        assert_eq!(query.number::<i64>("zz").unwrap(), None);
        assert!(
            query
                .number::<i64>("d")
                .unwrap_err()
                .message
                .contains("\"d\"")
        );
    }

    #[test]
    fn paths_keep_their_plus() {
        assert_eq!(decode("a+b%3Ac", false), "a+b:c");
        assert_eq!(decode("%", false), "%");
        assert_eq!(decode("%4", false), "%4");
    }
}
