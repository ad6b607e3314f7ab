//! Which fields a struct knows, asked from its `Deserialize`, so that no list has to be kept by hand.

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

/// The names of the fields of `T`, or none when `T` is not a plain struct.
pub fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(Probe) {
        Err(Found(fields)) => fields,
        Ok(_) => &[],
    }
}

/// The first name in the request's `must_understand` that `T` does not know.
///
/// # Errors
/// When the bytes are not JSON, or `must_understand` is not a list of strings.
pub fn missing_from<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Names {
        #[serde(default)]
        must_understand: Vec<String>,
    }
    // Most requests have none: a look for the word costs less than parsing everything twice.
    const KEY: &[u8] = b"must_understand";
    if !json.windows(KEY.len()).any(|window| window == KEY) {
        return Ok(None);
    }
    let names: Names = serde_json::from_slice(json)?;
    let known = field_names::<T>();
    Ok(names
        .must_understand
        .into_iter()
        .find(|name| !known.contains(&name.as_str())))
}

/// A deserializer that only listens to which struct is asked for. Derived code hands over the list of its fields.
struct Probe;

/// "Failed", with what was heard.
#[derive(Debug)]
struct Found(&'static [&'static str]);

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Found {}

impl de::Error for Found {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Found;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Found> {
        Err(Found(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Found> {
        Err(Found(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
