//! Parts of a JSON text as they stand there, without building a tree.

use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, by name, as they stand in the body. Of a name that comes twice the last counts.
pub(crate) fn members<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], serde_json::Error> {
    struct Members<'n, const N: usize>([&'n str; N]);

    impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
        type Value = [Option<&'de RawValue>; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = [None; N];
            while let Some(at) = map.next_key_seed(Name(&self.0))? {
                match at {
                    Some(at) => found[at] = Some(map.next_value()?),
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Ok(found)
        }
    }

    let mut json = serde_json::Deserializer::from_str(text);
    let found = json.deserialize_map(Members(names))?;
    json.end()?;
    Ok(found)
}

/// The value at a path of members, as in `to.id`.
pub(crate) fn at_path<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    path.split('.').try_fold(text, |text, name| {
        let [found] = members(text, [name]).ok()?;
        Some(found?.get())
    })
}

/// The members of an object: their names, and their values as they stand in the body.
pub(super) fn every_member(text: &str) -> Result<Vec<(String, &RawValue)>, serde_json::Error> {
    struct Every;

    impl<'de> Visitor<'de> for Every {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some(name) = map.next_key()? {
                values.push((name, map.next_value()?));
            }
            Ok(values)
        }
    }

    let mut json = serde_json::Deserializer::from_str(text);
    let values = json.deserialize_map(Every)?;
    json.end()?;
    Ok(values)
}

/// Which of these a member's name is, unescaped.
struct Name<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
    }
}

/// The elements of an array, as they stand in the body.
pub(super) fn elements(text: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
    struct Elements;

    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                elements.push(element);
            }
            Ok(elements)
        }
    }

    let mut json = serde_json::Deserializer::from_str(text);
    let elements = json.deserialize_seq(Elements)?;
    json.end()?;
    Ok(elements)
}
