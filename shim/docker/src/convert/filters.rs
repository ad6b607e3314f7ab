//! Docker's `filters` parameter: a JSON object of keys to sets of values; any value of a key may fit, every key must.

use std::collections::{BTreeMap, BTreeSet};

use regex::bytes::RegexBuilder;
use serde::Deserialize;

use crate::query::Query;
use crate::response::Failure;

/// The filters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, BTreeSet<String>>);

/// Values come as `{"a": true}`, from very old clients as `["a"]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Set(BTreeMap<String, bool>),
    List(Vec<String>),
}

impl Filters {
    /// Reads them and refuses keys this list does not know.
    ///
    /// # Errors
    /// 400 naming what is wrong.
    pub(crate) fn read(query: &Query, known: &[&str]) -> Result<Self, Failure> {
        let filters = Self::read_any(query)?;
        match filters.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Failure::bad_request(format!("invalid filter '{key}'"))),
            None => Ok(filters),
        }
    }

    /// Reads them, whatever their keys.
    ///
    /// # Errors
    /// 400 for what is no set of filters.
    pub(crate) fn read_any(query: &Query) -> Result<Self, Failure> {
        let Some(text) = query.text("filters") else {
            return Ok(Self::default());
        };
        let raw: BTreeMap<String, Values> = serde_json::from_str(text)
            .map_err(|error| Failure::bad_request(format!("invalid filter: {error}")))?;
        let mut filters = BTreeMap::new();
        for (key, values) in raw {
            let values = match values {
                Values::Set(set) => set
                    .into_iter()
                    .filter(|(_, on)| *on)
                    .map(|(v, _)| v)
                    .collect(),
                Values::List(list) => list.into_iter().collect(),
            };
            filters.insert(key, values);
        }
        Ok(Self(filters))
    }

    /// These and one more value.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.0
            .entry(key.to_owned())
            .or_default()
            .insert(value.to_owned());
        self
    }

    /// The values of a key; `None` when it is not asked.
    pub(crate) fn get(&self, key: &str) -> Option<&BTreeSet<String>> {
        self.0.get(key).filter(|values| !values.is_empty())
    }

    /// Whether the key is not asked or one of its values is equal.
    pub(crate) fn exact(&self, key: &str, text: &str) -> bool {
        self.get(key).is_none_or(|values| values.contains(text))
    }

    /// Whether the key is not asked, or the test holds for one of its values.
    pub(crate) fn any(&self, key: &str, mut test: impl FnMut(&str) -> bool) -> bool {
        self.get(key)
            .is_none_or(|values| values.iter().any(|value| test(value)))
    }

    /// As [`Filters::any`] with values read as regular expressions that may fit anywhere; a text that is none is taken
    /// as it is.
    pub(crate) fn fits(&self, key: &str, texts: &[&str]) -> bool {
        self.any(key, |value| {
            // Names and ids are ASCII, and a size limit keeps a hostile expression small.
            match RegexBuilder::new(value)
                .unicode(false)
                .size_limit(1 << 20)
                .build()
            {
                Ok(expression) => texts
                    .iter()
                    .any(|text| expression.is_match(text.as_bytes())),
                Err(_) => texts.iter().any(|text| text.contains(value)),
            }
        })
    }

    /// Whether all labels asked for, `key` or `key=value`, are there.
    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let asked = self.get("label").into_iter().flatten().map(String::as_str);
        gantry_model::filter::LabelSelector::parse(asked).matches(labels)
    }

    /// A yes-or-no key.
    ///
    /// # Errors
    /// 400 for another word, or both.
    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>, Failure> {
        let Some(values) = self.get(key) else {
            return Ok(None);
        };
        let words: Vec<&str> = values.iter().map(String::as_str).collect();
        match words[..] {
            ["1" | "true" | "True" | "TRUE" | "t"] => Ok(Some(true)),
            ["0" | "false" | "False" | "FALSE" | "f"] => Ok(Some(false)),
            _ => Err(Failure::bad_request(format!(
                "invalid filter '{key}={}'",
                words.join(",")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(json: &str) -> Result<Filters, Failure> {
        let mut text = String::from("filters=");
        for byte in json.bytes() {
            text.push_str(&format!("%{byte:02X}"));
        }
        Filters::read(
            &Query::parse(&text),
            &["status", "name", "label", "dangling"],
        )
    }

    #[test]
    fn both_ways_of_writing_are_read() {
        for json in [
            r#"{"status":{"exited":true,"created":true,"paused":false}}"#,
            r#"{"status":["exited","created"]}"#,
        ] {
            let read = filters(json).unwrap();
            assert!(read.exact("status", "exited") && read.exact("status", "created"));
            assert!(!read.exact("status", "paused"));
            assert!(read.exact("name", "anything"), "not asked");
        }
        assert_eq!(
            filters(r#"{"nope":{"a":true}}"#).unwrap_err().message,
            "invalid filter 'nope'"
        );
        assert_eq!(filters("{").unwrap_err().status.as_u16(), 400);
        assert_eq!(filters("").unwrap(), Filters::default());
    }

    #[test]
    fn names_are_expressions() {
        let fits = |value: &str| {
            let read = filters(&serde_json::json!({"name": {value: true}}).to_string()).unwrap();
            read.fits("name", &["/web-1", "web-1"])
        };
        for (value, expected) in [
            ("web", true),
            ("^web", true),
            ("^/web-1$", true),
            ("^web-1$", true),
            ("^eb", false),
            ("w.b", true),
            ("web-\\d", true),
            ("web-2", false),
            ("[", false),
        ] {
            assert_eq!(fits(value), expected, "{value}");
        }
    }

    #[test]
    fn labels_and_booleans() {
        let read = filters(r#"{"label":{"a=1":true,"b":true},"dangling":{"true":true}}"#).unwrap();
        let labels = |pairs: &[(&str, &str)]| {
            read.labels(
                &pairs
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
            )
        };
        assert!(labels(&[("a", "1"), ("b", "x")]));
        assert!(!labels(&[("a", "1")]));
        assert_eq!(read.boolean("dangling").unwrap(), Some(true));
        assert_eq!(read.boolean("name").unwrap(), None);
        assert!(
            filters(r#"{"dangling":{"maybe":true}}"#)
                .unwrap()
                .boolean("dangling")
                .is_err()
        );
    }
}
