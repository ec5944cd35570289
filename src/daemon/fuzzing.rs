//! What must hold of a request to the control API, and of its answers, with any bytes.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::Uri;

use super::calls::{Call, Verb};
use super::types::*;
use super::wire::{self, Line, Refusal};

pub(crate) use super::mounts::fuzzing::mounts;
#[cfg(test)]
pub(crate) use super::mounts::fuzzing::mounts_seeds;

/// `VERB URI`, a newline, the body. A request is refused, or arrives as it was when it is sent
/// again. Nothing is carried out. The body is also read as an answer.
pub(crate) fn request(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, body) = match end {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    if let Some(request) = Request::parse(line, body) {
        every_call(&request);
    }
    answer(body);
}

struct Request<'a> {
    verb: Verb,
    uri: Uri,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn parse(line: &[u8], body: &'a [u8]) -> Option<Request<'a>> {
        let (verb, uri) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        let verb = match verb {
            "GET" => Verb::Get,
            "POST" => Verb::Post,
            "DELETE" => Verb::Delete,
            _ => return None,
        };
        let uri = uri.parse().ok()?;
        Some(Request { verb, uri, body })
    }

    /// The call that it is, if it is this one.
    fn unpack<C: Call>(&self) -> Option<C> {
        if self.verb != C::VERB {
            return None;
        }
        let Query(query) = Query::<BTreeMap<String, String>>::try_from_uri(&self.uri).ok()?;
        let path = named_parts(C::PATH, self.uri.path())?;
        wire::unpack(query.into_iter().chain(path), self.body).ok()
    }
}

/// The parts of a path that a pattern names in braces; none if the path is another one.
fn named_parts(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    if pattern.len() != path.len() {
        return None;
    }
    let mut named = Vec::new();
    for (pattern, part) in pattern.into_iter().zip(path) {
        match pattern
            .strip_prefix('{')
            .and_then(|it| it.strip_suffix('}'))
        {
            Some(name) => named.push((name.to_owned(), part.to_owned())),
            None if pattern == part => {}
            None => return None,
        }
    }
    Some(named)
}

fn every_call(request: &Request<'_>) {
    check::<Hello>(request);
    check::<ListVolumes>(request);
    check::<CreateVolume>(request);
    check::<InspectVolume>(request);
    check::<RemoveVolume>(request);
    check::<CloneVolume>(request);
    check::<RollbackVolume>(request);
    check::<ListSnapshots>(request);
    check::<CreateSnapshots>(request);
    check::<InspectSnapshot>(request);
    check::<RemoveSnapshot>(request);
    check::<ListMounts>(request);
    check::<MountVolume>(request);
    check::<Unmount>(request);
    check::<MountAll>(request);
    check::<DaemonStatus>(request);
    check::<KeepDaemon>(request);
    check::<StopDaemon>(request);
    check::<CheckPool>(request);
}

fn check<C: Call>(request: &Request<'_>) {
    let Some(call) = request.unpack::<C>() else {
        return;
    };
    let (uri, body) = wire::pack(&call).expect("what arrived can be sent");
    let again = Request {
        verb: C::VERB,
        uri: uri.parse().expect("what was packed is a URI"),
        body: &body,
    };
    let again: C = again.unpack().expect("what was sent arrives");
    let value = |call: &C| serde_json::to_value(call).expect("a call is JSON");
    assert_eq!(value(&again), value(&call));
}

/// What a client makes of an answer's bytes.
fn answer(bytes: &[u8]) {
    fn check<T: serde::Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
        if let Ok(answer) = serde_json::from_slice::<T>(bytes) {
            let json = serde_json::to_vec(&answer).expect("what was read can be written");
            serde_json::from_slice::<T>(&json).expect("what was written can be read");
        }
    }
    check::<Line>(bytes);
    check::<Refusal>(bytes);
    check::<Introduction>(bytes);
    check::<Vec<VolumeDetails>>(bytes);
    check::<SnapshotsCreated>(bytes);
    check::<StatusReport>(bytes);
    check::<AllMounted>(bytes);
}

/// Requests with fields in the path, in the query and in the body, and an answer.
#[cfg(test)]
pub(crate) fn request_seeds() -> Vec<(&'static str, Vec<u8>)> {
    [
        ("get", "GET /v1/volumes/db/snapshots/v1.0\n"),
        ("query", "GET /v1/snapshots?volume=db\n"),
        (
            "create",
            "POST /v1/volumes\n{\"volume\":\"db\",\"block_size\":8192,\
             \"labels\":{\"app\":\"shop\"},\"uid\":0,\"gid\":0,\"mode\":448}",
        ),
        (
            "snapshots",
            "POST /v1/snapshots\n{\"of\":[{\"volume\":\"a\",\"snapshot\":\"s\"},\
             {\"volume\":\"b\"}],\"flush_ms\":1000}",
        ),
        (
            "clone",
            "POST /v1/volumes/db/clone\n{\"snapshot\":null,\"new\":\"copy\",\"flush_ms\":null}",
        ),
        (
            "mount",
            "POST /v1/mounts\n{\"source\":{\"volume\":\"db\"},\"path\":\"/mnt\",\
             \"flags\":{\"read_only\":true}}",
        ),
        (
            "unmount",
            "DELETE /v1/mounts\n{\"target\":{\"source\":{\"volume\":\"db\"}},\"lazy\":false}",
        ),
        ("remove", "DELETE /v1/volumes/db\n{\"force\":true}"),
        (
            "answer",
            "\n{\"error\":{\"code\":\"busy\",\"message\":\"in use\",\"hints\":[\"wait\"]}}",
        ),
        ("progress", "\n{\"progress\":{\"done\":1,\"total\":2}}"),
    ]
    .map(|(name, text)| (name, text.as_bytes().to_vec()))
    .into()
}
