//! Label selectors, the part of filtering both doors share.

use std::collections::BTreeMap;

/// `key`, `key=value`, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<(String, Option<String>)>);

impl LabelSelector {
    /// From `key` and `key=value` texts.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(
            texts
                .into_iter()
                .map(|text| match text.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (text.to_owned(), None),
                })
                .collect(),
        )
    }

    /// From a map, every entry of which must be there with that value.
    pub fn exact<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(key, value)| (key.clone(), Some(value.clone())))
                .collect(),
        )
    }

    /// Whether the labels satisfy all of it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0
            .iter()
            .all(|(key, wanted)| match (labels.get(key), wanted) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(value), Some(wanted)) => value == wanted,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::LabelSelector;
    use std::collections::BTreeMap;

    #[test]
    fn all_of_it_must_hold() {
        let labels = BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), String::new()),
        ]);
        for (selector, expected) in [
            (vec![], true),
            (vec!["a"], true),
            (vec!["a=1", "b"], true),
            (vec!["a=2"], false),
            (vec!["b="], true),
            (vec!["a", "c"], false),
        ] {
            assert_eq!(
                LabelSelector::parse(selector.iter().copied()).matches(&labels),
                expected,
                "{selector:?}"
            );
        }
    }
}
