//! Filters of lists, in the words of `docker volume ls --filter`.

use std::collections::BTreeMap;

use super::{Kind, ServiceError, ServiceResult};

/// What an item of a list must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// It has the label, with the value if there is one; or has not.
    Label {
        /// The label.
        key: String,
        /// The value; none: any.
        value: Option<String>,
        /// Whether it must have it.
        wanted: bool,
    },
    /// Its name has this in it.
    Name(String),
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Filter, String> {
        let unknown = || {
            format!(
                "'{text}' is no filter: label=KEY, label=KEY=VALUE, label!=KEY[=VALUE] or name=TEXT"
            )
        };
        let (what, rest) = text.split_once('=').ok_or_else(unknown)?;
        if rest.is_empty() {
            return Err(unknown());
        }
        let (what, wanted) = match what.strip_suffix('!') {
            Some(what) => (what, false),
            None => (what, true),
        };
        match what {
            "label" => {
                let (key, value) = match rest.split_once('=') {
                    Some((key, value)) => (key, Some(value.to_owned())),
                    None => (rest, None),
                };
                Ok(Filter::Label {
                    key: key.to_owned(),
                    value,
                    wanted,
                })
            }
            "name" if wanted => Ok(Filter::Name(rest.to_owned())),
            _ => Err(unknown()),
        }
    }
}

impl Filter {
    /// Those of a request.
    pub fn parse(all: &[String]) -> ServiceResult<Vec<Filter>> {
        let usage = |problem| ServiceError::new(Kind::Usage, problem);
        all.iter().map(|text| text.parse().map_err(usage)).collect()
    }

    /// Whether an item fits.
    pub fn fits(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Filter::Name(part) => name.contains(part.as_str()),
            Filter::Label { key, value, wanted } => {
                let found = labels.get(key);
                let has_it = found.is_some_and(|found| value.as_ref().is_none_or(|v| v == found));
                has_it == *wanted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(filter: &str) -> bool {
        let labels = [("app", "shop"), ("tier", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let filter: Filter = filter.parse().unwrap();
        filter.fits("pgdata", &labels.into())
    }

    /// Labels are looked up with or without their value, names by a part of them.
    #[test]
    fn filters_are_dockers() {
        for yes in [
            "label=app",
            "label=app=shop",
            "label=tier",
            "label=tier=",
            "name=gda",
        ] {
            assert!(fits(yes), "{yes}");
        }
        for no in ["label=x", "label=app=x", "label=tier=x", "name=x"] {
            assert!(!fits(no), "{no}");
        }
        for (filter, wanted) in [("label!=app", false), ("label!=app=x", true)] {
            assert_eq!(fits(filter), wanted, "{filter}");
        }
    }

    /// What is no filter is refused, and told what there is.
    #[test]
    fn other_words_are_refused() {
        for bad in ["", "label", "label=", "name!=x", "size=3", "=x"] {
            let error = bad.parse::<Filter>().unwrap_err();
            assert!(error.contains("label=KEY"), "{error}");
        }
    }
}
