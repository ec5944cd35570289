//! The control API: HTTP and JSON on the pool's socket. `calls` has its table.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Query, RawPathParams, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use hyper::body::Frame;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::calls::{Call, Verb};
use super::types::*;
use super::wire::{self, Line, Refusal};
use super::{Kind, Service, ServiceError};
use crate::base::progress::{Progress, Silent};

/// All paths.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let router = Router::new();
    let router = route::<Hello>(router);
    let router = route::<ListVolumes>(router);
    let router = route::<CreateVolume>(router);
    let router = route::<InspectVolume>(router);
    let router = route::<RemoveVolume>(router);
    let router = route::<SetVolume>(router);
    let router = route::<ListPolicies>(router);
    let router = route::<SetPolicy>(router);
    let router = route::<RunPolicy>(router);
    let router = route::<ListTrash>(router);
    let router = route::<UndeleteVolume>(router);
    let router = route::<PruneVolumes>(router);
    let router = route::<HoldSnapshot>(router);
    let router = route::<MeasureSpace>(router);
    let router = route::<MeasureRemoval>(router);
    let router = route::<CloneVolume>(router);
    let router = route::<RollbackVolume>(router);
    let router = route::<ListSnapshots>(router);
    let router = route::<CreateSnapshots>(router);
    let router = route::<InspectSnapshot>(router);
    let router = route::<RemoveSnapshot>(router);
    let router = route::<CompareSnapshot>(router);
    let router = route::<RestoreFiles>(router);
    let router = route::<ExportFiles>(router);
    let router = route::<ListMounts>(router);
    let router = route::<MountVolume>(router);
    let router = route::<Unmount>(router);
    let router = route::<MountAll>(router);
    let router = route::<VolumeStats>(router);
    let router = route::<DaemonStatus>(router);
    let router = route::<KeepDaemon>(router);
    let router = route::<StopDaemon>(router);
    let router = route::<CheckPool>(router);
    let router = route::<ScrubPool>(router);
    let router = route::<CollectGarbage>(router);
    router
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(service)
}

fn route<C: Call>(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    let method = match C::VERB {
        Verb::Get => get(answer::<C>),
        Verb::Post => post(answer::<C>),
        Verb::Delete => delete(answer::<C>),
    };
    router.route(C::PATH, method)
}

async fn answer<C: Call>(
    State(service): State<Arc<Service>>,
    path: RawPathParams,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    if !C::ALWAYS && service.introduce().stopping {
        return refuse(&ServiceError::new(
            Kind::Stopping,
            "the daemon is about to end",
        ));
    }
    let path = path
        .iter()
        .map(|(field, value)| (field.to_owned(), value.to_owned()));
    let call = match wire::unpack::<C>(query.into_iter().chain(path), &body) {
        Ok(call) => call,
        Err(error) => return refuse(&error),
    };
    if C::REPORTS_PROGRESS {
        return stream(service, call);
    }
    let answered = tokio::task::spawn_blocking(move || service.answer(&call, &Silent)).await;
    match answered {
        Ok(Ok(answer)) => json(StatusCode::OK, &answer),
        Ok(Err(error)) => refuse(&error),
        // The panic itself is in the log.
        Err(_) => refuse(&panicked()),
    }
}

/// Lines of progress, then the answer or the error.
fn stream<C: Call>(service: Arc<Service>, call: C) -> Response {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let lines = Lines {
            sender: sender.clone(),
        };
        let answered = tokio::task::spawn_blocking(move || {
            let answer = service.answer(&call, &lines)?;
            serde_json::to_value(answer)
                .map_err(|error| ServiceError::new(Kind::Failed, error.to_string()))
        });
        let line = match answered.await {
            Ok(Ok(answer)) => Line::Answer(answer),
            Ok(Err(error)) => Line::Error(error),
            Err(_) => Line::Error(panicked()),
        };
        send(&sender, &line);
    });
    let body = Body::new(LinesBody { receiver });
    ([(header::CONTENT_TYPE, wire::LINES)], body).into_response()
}

/// Progress as lines of a streamed answer.
struct Lines {
    sender: UnboundedSender<Bytes>,
}

impl Progress for Lines {
    fn update(&self, done: u64, total: u64) {
        send(&self.sender, &Line::Progress { done, total });
    }

    fn is_cancelled(&self) -> bool {
        self.sender.is_closed()
    }
}

fn send(sender: &UnboundedSender<Bytes>, line: &Line) {
    match serde_json::to_vec(line) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            // The client may have gone; the work goes on.
            let _ = sender.send(bytes.into());
        }
        Err(error) => log::error!("cannot encode a line of an answer: {error}"),
    }
}

struct LinesBody {
    receiver: UnboundedReceiver<Bytes>,
}

impl HttpBody for LinesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.receiver
            .poll_recv(context)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

async fn unknown() -> Response {
    let message = "this daemon does not know the request";
    (StatusCode::NOT_IMPLEMENTED, message).into_response()
}

fn panicked() -> ServiceError {
    ServiceError::new(Kind::Failed, "the daemon has an error of its own")
        .hint("its log, daemon.log in the pool's folder, says more")
}

fn refuse(error: &ServiceError) -> Response {
    let status = match error.kind {
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Exists => StatusCode::CONFLICT,
        Kind::Busy => StatusCode::LOCKED,
        Kind::Stopping | Kind::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Failed | Kind::Environment | Kind::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status.is_server_error() && error.kind != Kind::Stopping {
        log::error!("{error}");
    }
    json(
        status,
        &Refusal {
            error: error.clone(),
        },
    )
}

fn json(status: StatusCode, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, wire::JSON)], bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
