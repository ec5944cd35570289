//! How a call travels in HTTP: path, query and body of a request, lines of a streamed answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::calls::{Call, Verb};
use super::{Kind, ServiceError, ServiceResult};

/// Content type of a streamed answer: one [`Line`] of JSON after the other.
pub(crate) const LINES: &str = "application/x-ndjson";

/// Content type of all other answers.
pub(crate) const JSON: &str = "application/json";

/// Body of an answer that is no success.
#[derive(Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: ServiceError,
}

/// One line of a streamed answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// So many of so many units are done.
    Progress { done: u64, total: u64 },
    /// The end: the answer.
    Answer(Value),
    /// The end: it failed.
    Error(ServiceError),
}

/// Path with query, and body, of a call.
pub(crate) fn pack<C: Call>(call: &C) -> ServiceResult<(String, Vec<u8>)> {
    let mut fields = fields(call)?;
    let mut path = String::new();
    for part in C::PATH.split('/').skip(1) {
        path.push('/');
        match part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        {
            None => path.push_str(part),
            // Names of volumes and snapshots need no escaping in a URL.
            Some(field) => match fields.remove(field) {
                Some(Value::String(name)) => path.push_str(&name),
                _ => return Err(malformed(&format!("'{field}' is not a name"))),
            },
        }
    }
    if C::VERB != Verb::Get {
        let body = serde_json::to_vec(&fields).map_err(|error| malformed(&error.to_string()))?;
        return Ok((path, body));
    }
    let mut separator = '?';
    for (field, value) in fields {
        match value {
            Value::Null => {}
            Value::String(_) | Value::Bool(_) => {
                let text = value.as_str().map_or(value.to_string(), str::to_owned);
                path.push_str(&format!("{separator}{field}={text}"));
                separator = '&';
            }
            _ => return Err(malformed(&format!("'{field}' cannot be in a query"))),
        }
    }
    Ok((path, Vec::new()))
}

/// The call of a request: fields from path and query, and the body.
pub(crate) fn unpack<C: Call>(
    named: impl Iterator<Item = (String, String)>,
    body: &[u8],
) -> ServiceResult<C> {
    let mut fields = match body {
        [] => Map::new(),
        body => match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(malformed("the body is not a JSON object")),
            Err(error) => return Err(malformed(&error.to_string())),
        },
    };
    fields.extend(named.map(|(field, value)| (field, Value::String(value))));
    serde_json::from_value(Value::Object(fields)).map_err(|error| malformed(&error.to_string()))
}

fn fields<C: Call>(call: &C) -> ServiceResult<Map<String, Value>> {
    match serde_json::to_value(call) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(malformed("it has no fields")),
        Err(error) => Err(malformed(&error.to_string())),
    }
}

fn malformed(problem: &str) -> ServiceError {
    ServiceError::new(Kind::Usage, format!("the request is malformed: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::{InspectSnapshot, ListSnapshots, RemoveVolume};

    /// Fields travel in the path, the query or the body, and arrive as they were.
    #[test]
    fn calls_survive_the_wire() {
        let call = RemoveVolume {
            volume: "db".parse().unwrap(),
            force: true,
            now: false,
        };
        let (path, body) = pack(&call).unwrap();
        assert_eq!(
            (path.as_str(), body.as_slice()),
            ("/v1/volumes/db", &br#"{"force":true,"now":false}"#[..])
        );
        let named = [("volume".to_owned(), "db".to_owned())];
        assert_eq!(
            unpack::<RemoveVolume>(named.into_iter(), &body).unwrap(),
            call
        );

        let call = InspectSnapshot {
            volume: "db".parse().unwrap(),
            snapshot: "v1.0".parse().unwrap(),
            space: false,
        };
        let (path, body) = pack(&call).unwrap();
        assert_eq!(
            (path.as_str(), body.len()),
            ("/v1/volumes/db/snapshots/v1.0", 0)
        );

        let all = ListSnapshots {
            volume: None,
            space: false,
        };
        assert_eq!(pack(&all).unwrap().0, "/v1/snapshots");
        let some = ListSnapshots {
            volume: Some("db".parse().unwrap()),
            space: true,
        };
        assert_eq!(pack(&some).unwrap().0, "/v1/snapshots?space=true&volume=db");
        let query = [("space", "true"), ("volume", "db")];
        let query = query.map(|(field, value)| (field.to_owned(), value.to_owned()));
        assert_eq!(
            unpack::<ListSnapshots>(query.into_iter(), b"").unwrap(),
            some
        );
        assert_eq!(unpack::<ListSnapshots>([].into_iter(), b"").unwrap(), all);
    }

    /// What cannot be understood is the caller's fault, and says what is wrong.
    #[test]
    fn malformed_requests_are_usage_errors() {
        for (body, problem) in [
            (
                &b"[]"[..],
                "the request is malformed: the body is not a JSON object",
            ),
            (
                b"{",
                "the request is malformed: EOF while parsing an object at line 1 column 1",
            ),
            (b"{}", "the request is malformed: missing field `volume`"),
        ] {
            let error = unpack::<RemoveVolume>([].into_iter(), body).unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (Kind::Usage, problem));
        }
    }
}
