//! The HTTP server: actix-web's application on connections that can leave it.

use crate::events::{Hub, Readers, Relay};
use crate::handover::{Control, Wire};
use actix_http::body::MessageBody;
use actix_http::{HttpService, Request};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service,
    map_config,
};
use actix_web::Error;
use actix_web::dev::{AppConfig, Response, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// How long a connection is kept between two requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What the server is started with.
#[derive(Clone)]
pub struct Setting {
    /// What each thread makes its hub of.
    pub readers: Readers,
    /// How many threads.
    pub workers: usize,
    /// How many connections each may have, those that left the dispatcher included.
    pub connections: usize,
    /// How long the head of a request may take.
    pub head_time: Duration,
    /// How long requests that were begun may take when it stops.
    pub shutdown: Duration,
    /// Becomes true when connections are to end after their request.
    pub draining: watch::Receiver<bool>,
    /// Connections that came back to the dispatcher: actix does not know of
    /// them when it stops.
    pub returned: TaskTracker,
}

/// Starts a server of what `make` makes for each thread.
///
/// This is what [`actix_web::HttpServer`] does, but for the type of its
/// connections.
///
/// # Errors
/// If the listener cannot be listened on.
pub fn start<F, A, S, B>(setting: Setting, listener: TcpListener, make: F) -> io::Result<Server>
where
    F: Fn(Rc<Hub>) -> A + Clone + Send + 'static,
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error>,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>>,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let shutdown = setting.shutdown.as_secs();
    let server = Server::build()
        .workers(setting.workers)
        .max_concurrent_connections(setting.connections)
        .shutdown_timeout(shutdown)
        .disable_signals();
    let server = server.listen("http", listener, move || {
        let (setting, make) = (setting.clone(), make.clone());
        fn_factory(move || {
            let (setting, make) = (setting.clone(), make.clone());
            async move {
                let hub = Hub::start(setting.readers.clone())?;
                Relay::start();
                let draining = setting.draining.clone();
                let application = make(hub.clone()).into_factory();
                let application = application.map_err(|err: S::Error| err.into().error_response());
                let service = HttpService::<Wire, _, _>::build()
                    .keep_alive(KEEP_ALIVE)
                    .client_request_timeout(setting.head_time)
                    .client_disconnect_timeout(Duration::from_secs(1))
                    // A client that has gone is noticed when it goes, not two writes later.
                    .h1_allow_half_closed(false)
                    .graceful_shutdown_signal(move || {
                        let mut draining = draining.clone();
                        async move {
                            if draining.wait_for(|draining| *draining).await.is_err() {
                                std::future::pending::<()>().await;
                            }
                        }
                    })
                    .on_connect_ext(|wire: &Wire, data| {
                        data.insert(wire.control().clone());
                    })
                    .h1(map_config(application, |()| AppConfig::default()));
                let service = service
                    .new_service(())
                    .await
                    .map_err(|()| io::Error::other("the application could not be made"))?;
                let thread = Thread { hub, setting, service, serving: Cell::new(0) };
                let thread = Rc::new(thread);
                let again = Rc::downgrade(&thread);
                thread.hub.give_back_to(move |socket, early| {
                    if let Some(thread) = again.upgrade() {
                        let returned = thread.setting.returned.clone();
                        let serve = async move { thread.serve(socket, early).await };
                        actix_web::rt::spawn(returned.track_future(serve));
                    }
                });
                Ok::<_, io::Error>(fn_service(move |socket: TcpStream| {
                    let thread = thread.clone();
                    async move {
                        thread.accept(socket).await;
                        Ok::<_, io::Error>(())
                    }
                }))
            }
        })
    })?;
    Ok(server.run())
}

/// One thread of the server.
struct Thread<T> {
    hub: Rc<Hub>,
    setting: Setting,
    service: T,
    /// Connections that the dispatcher has.
    serving: Cell<usize>,
}

impl<T: Service<(Wire, Option<std::net::SocketAddr>), Response = ()>> Thread<T> {
    async fn accept(&self, socket: TcpStream) {
        // actix counts those that its dispatcher has; each is an open file.
        if self.serving.get() + self.hub.connections() >= self.setting.connections {
            self.hub.readers().metrics.turned_away.inc();
            return;
        }
        self.serve(socket, Bytes::new()).await;
    }

    async fn serve(&self, socket: TcpStream, early: Bytes) {
        let peer = socket.peer_addr().ok();
        let signatures = self.hub.signatures().clone();
        let wire = Wire::new(socket, early, signatures, self.setting.head_time);
        self.serving.set(self.serving.get() + 1);
        let _serving = Serving(&self.serving);
        // What ends a connection is told to nobody: the peer has gone, or the
        // connection has left for the hub.
        let _ = self.service.call((wire, peer)).await;
    }
}

struct Serving<'a>(&'a Cell<usize>);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Tells the connection where a request begins and where its answer does.
pub async fn mark<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let control = request.conn_data::<Rc<Control>>().cloned();
    if let Some(control) = &control {
        control.begin();
    }
    let response = next.call(request).await;
    if let Some(control) = control {
        control.answered();
    }
    response
}
