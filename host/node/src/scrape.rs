//! Serves `/metrics` over HTTP. A thread with a runtime of its own, and only where somebody asked for it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use crate::error::NodeError;
use crate::limits::METRICS_CONNECTIONS;
use crate::metrics;

/// Makes the text.
pub(crate) type Text = Arc<dyn Fn() -> String + Send + Sync>;

/// A metrics address that is served until this is dropped.
pub(crate) struct Scrape {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scrape {
    pub(crate) fn start(address: SocketAddr, text: Text) -> Result<Scrape, NodeError> {
        let failed = |source| NodeError::Metrics { address, source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, text) => {}
                    _ = stopped => {}
                }
            });
            // What is still open is cut off.
            runtime.shutdown_background();
        };
        let thread =
            std::thread::Builder::new().name("gc-metrics".into()).spawn(serve).map_err(NodeError::Thread)?;
        Ok(Scrape { address: bound, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, text: Text) {
    let places = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
    loop {
        // A connection more than there are places waits in the kernel's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let text = Arc::clone(&text);
                tokio::spawn(async move {
                    talk(stream, text).await;
                    drop(place);
                });
            }
            // Out of descriptors, most likely: they come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn talk(stream: TcpStream, text: Text) {
    let service = service_fn(move |request| {
        let response = respond(&request, &text);
        async move { Ok::<_, Infallible>(response) }
    });
    // A scraper that has gone away is no news.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn respond(request: &Request<Incoming>, text: &Text) -> Response<Full<Bytes>> {
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, body) = match request.uri().path() {
        "/metrics" if get => (StatusCode::OK, metrics::CONTENT_TYPE, text()),
        "/metrics" => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".into()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "only /metrics\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
