//! Names travel as text and are parsed once, on arrival.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(super) fn serialize<T: Display, S: Serializer>(name: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(name)
}

pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

pub(super) mod option {
    use super::*;

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        name: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match name {
            Some(name) => to.collect_str(name),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let name = Option::<String>::deserialize(from)?;
        name.map(|name| name.parse().map_err(D::Error::custom))
            .transpose()
    }
}

pub(super) mod list {
    use super::*;

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        names: &[T],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(names.iter().map(ToString::to_string))
    }

    pub(in super::super) fn deserialize<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let names = Vec::<String>::deserialize(from)?;
        let parsed = names.iter().map(|name| name.parse());
        parsed.map(|name| name.map_err(D::Error::custom)).collect()
    }
}

/// A flag that may travel in a query string.
pub(super) mod flag {
    use serde::Serialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Plain(bool),
        Text(String),
    }

    pub(in super::super) fn is_unset(flag: &bool) -> bool {
        !flag
    }

    pub(in super::super) fn serialize<S: Serializer>(
        flag: &bool,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        flag.serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<bool, D::Error> {
        match Flag::deserialize(from)? {
            Flag::Plain(flag) => Ok(flag),
            Flag::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}
