//! A blocking client of the control API.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::calls::{Call, Verb};
use super::service::VERSION;
use super::wire::{self, Line, Refusal};
use super::{Hello, Introduction, Kind, ServiceError, ServiceResult, socket};
use crate::base::progress::{Progress, Silent};

/// How long a daemon may take to introduce itself.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// A way to a pool's daemon. Each call has a connection of its own: one that waits for its next
/// request is closed by a daemon that ends, without a word.
pub(crate) struct Client {
    pool: PathBuf,
    runtime: Runtime,
    daemon: Introduction,
}

impl Client {
    /// Connects and asks the daemon who it is; none when nobody listens. `Kind::Unreachable` when
    /// somebody listens who does not answer.
    pub(crate) fn connect(pool: &Path) -> ServiceResult<Option<Client>> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(talking_to(pool))?;
        let Some(mut sender) = open(&runtime, pool)? else {
            return Ok(None);
        };
        let daemon = hello(&runtime, &mut sender, pool)?;
        let pool = pool.to_owned();
        Ok(Some(Client {
            pool,
            runtime,
            daemon,
        }))
    }

    /// The daemon.
    pub(crate) fn daemon(&self) -> &Introduction {
        &self.daemon
    }

    /// Sends a call and waits for its answer, as long as it takes. `Kind::Stopping` when the daemon
    /// has ended meanwhile.
    pub(crate) fn call<C: Call>(
        &mut self,
        call: &C,
        progress: &dyn Progress,
    ) -> ServiceResult<C::Answer> {
        let Some(mut sender) = open(&self.runtime, &self.pool)? else {
            let message = format!("the daemon of pool '{}' has ended", self.pool.display());
            return Err(ServiceError::new(Kind::Stopping, message));
        };
        let exchange = exchange(&mut sender, &self.daemon, call, progress);
        self.runtime.block_on(exchange)
    }
}

type Sender = SendRequest<Full<Bytes>>;

fn talking_to(pool: &Path) -> impl Fn(io::Error) -> ServiceError {
    move |error| ServiceError::environment("talk to the daemon of", pool, &error)
}

/// A new connection; none when nobody listens.
fn open(runtime: &Runtime, pool: &Path) -> ServiceResult<Option<Sender>> {
    let stream = match socket::connect(pool) {
        Ok(stream) => stream,
        Err(error) if nobody_listens(&error) => return Ok(None),
        Err(error) => {
            let error =
                ServiceError::environment("connect to the daemon of the pool", pool, &error);
            return Err(error.hint("the pool belongs to the user who runs its daemon"));
        }
    };
    stream.set_nonblocking(true).map_err(talking_to(pool))?;
    runtime.block_on(async {
        let stream = UnixStream::from_std(stream).map_err(talking_to(pool))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        tokio::spawn(async move {
            // Its errors come out of the requests as well.
            let _ = connection.await;
        });
        Ok(Some(sender))
    })
}

fn hello(runtime: &Runtime, sender: &mut Sender, pool: &Path) -> ServiceResult<Introduction> {
    let nobody = Introduction {
        pid: 0,
        version: VERSION.to_owned(),
        stopping: false,
    };
    let answer = runtime.block_on(async {
        let hello = exchange(sender, &nobody, &Hello {}, &Silent);
        tokio::time::timeout(HELLO_PATIENCE, hello).await
    });
    answer.unwrap_or_else(|_| {
        let message = format!(
            "the daemon of pool '{}' has not answered within {} seconds",
            pool.display(),
            HELLO_PATIENCE.as_secs()
        );
        Err(ServiceError::new(Kind::Unreachable, message)
            .hint("is it stopped or stuck? its log, daemon.log in the pool's folder, says more"))
    })
}

async fn exchange<C: Call>(
    sender: &mut Sender,
    daemon: &Introduction,
    call: &C,
    progress: &dyn Progress,
) -> ServiceResult<C::Answer> {
    let (path, body) = wire::pack(call)?;
    let method = match C::VERB {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Delete => Method::DELETE,
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, wire::JSON)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| ServiceError::new(Kind::Failed, error.to_string()))?;
    sender.ready().await.map_err(|error| broken(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| broken(&error))?;
    let content = response.headers().get(header::CONTENT_TYPE).cloned();
    if content.is_some_and(|content| content.as_bytes() == wire::LINES.as_bytes()) {
        return read_lines::<C>(response, daemon, progress).await;
    }
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| broken(&error))?
        .to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| not_understood(daemon));
    }
    let refusal: Refusal = serde_json::from_slice(&body).map_err(|_| not_understood(daemon))?;
    Err(refusal.error)
}

async fn read_lines<C: Call>(
    response: Response<Incoming>,
    daemon: &Introduction,
    progress: &dyn Progress,
) -> ServiceResult<C::Answer> {
    let mut body = response.into_body();
    let mut pending = Vec::new();
    loop {
        let Some(frame) = body.frame().await else {
            return Err(cut_off());
        };
        let frame = frame.map_err(|error| broken(&error))?;
        pending.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            match serde_json::from_slice(&line).map_err(|_| not_understood(daemon))? {
                Line::Progress { done, total } => progress.update(done, total),
                Line::Error(error) => return Err(error),
                Line::Answer(answer) => {
                    return serde_json::from_value(answer).map_err(|_| not_understood(daemon));
                }
            }
        }
    }
}

fn nobody_listens(error: &io::Error) -> bool {
    // NotADirectory: the "pool" is no folder; opening it tells so better.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
    )
}

fn broken(error: &hyper::Error) -> ServiceError {
    log::debug!("connection to the daemon: {error:?}");
    cut_off()
}

fn cut_off() -> ServiceError {
    ServiceError::new(Kind::Unreachable, "the daemon has ended before it answered")
        .hint("it is not known whether the request was carried out; nothing durable is lost")
        .hint("its log, daemon.log in the pool's folder, says more")
}

fn not_understood(daemon: &Introduction) -> ServiceError {
    let theirs = &daemon.version;
    if *theirs == VERSION {
        return ServiceError::new(
            Kind::Unreachable,
            "the daemon's answer cannot be understood",
        );
    }
    let message = format!(
        "the daemon is volfs {theirs} and this command volfs {VERSION}: \
         they do not understand each other"
    );
    ServiceError::new(Kind::Unreachable, message).hint(format!(
        "volfs {theirs} can stop it: `volfs daemon stop`, then start the new one"
    ))
}
