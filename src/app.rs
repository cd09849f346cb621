//! The whole service, put together.

use crate::auth::{Gate, KeyWatch, Secret};
use crate::catalogue::{Names, Search, State};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{self, Db};
use crate::events::{Log, Publisher, Readers, Setting};
use crate::http::RequestSpan;
use crate::limits::{Limits, Tidy};
use crate::ops::Doctor;
use crate::prices::{history, similar};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::transports::{Directory, Snapshots};
use crate::{
    alerts, auth, cadence, catalogue, clearance, dashboard, export, feeds, http, import, limits,
    listings, markets, notifications, openapi, ops, prices, reservations, rooms, server, stock,
    transports, writes,
};
use actix_cors::Cors;
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use actix_web_lab::middleware::{CatchPanic, PanicReporter};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing_actix_web::TracingLogger;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The secret, or an address.
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
    /// The schema is of another release.
    #[error("the database lacks the migrations {0}; run `teawire migrate`")]
    Unmigrated(String),
}

/// A service that runs.
pub struct Service {
    /// Where shoppers and merchants come in.
    pub address: SocketAddr,
    /// Where the operator looks in.
    pub ops_address: SocketAddr,
    /// To change things from within, as the demo does.
    pub publisher: Publisher,
    /// To look things up from within.
    pub db: Db,
    /// The two servers; each is done when it has stopped.
    pub servers: (Server, Server),
    stop: watch::Sender<bool>,
    drain: watch::Sender<bool>,
    returned: TaskTracker,
    tasks: Tasks,
    writer: JoinHandle<()>,
    shutdown: Duration,
}

/// Opens the database of `config`, brought up to date unless `migrate` is false.
pub fn open_database(config: &Config, migrate: bool) -> Result<Db, StartError> {
    let url: db::Url = config.database_url.parse()?;
    let mut conn = url.connect()?;
    if migrate {
        for name in db::migrate(&mut conn)? {
            tracing::info!(migration = name, "migrated");
        }
    } else {
        let pending = db::pending(&mut conn)?;
        if !pending.is_empty() {
            return Err(StartError::Unmigrated(pending.join(", ")));
        }
    }
    Ok(Db::open(&url, config.database.read_connections)?)
}

/// Starts the service of `config`. Call it on a tokio runtime.
pub fn start(config: &Config, db: Db, clock: Clock) -> Result<Service, StartError> {
    let metrics = Metrics::default();
    let tasks = Tasks::default();
    let (stop, stopping) = watch::channel(false);
    let secret = Secret::load(&config.auth, db.url())
        .map_err(|err| StartError::Io("the secret for tokens", err))?;
    let gate = Gate::new(config.auth.clone(), secret, db.clone(), clock.clone());
    let limits = Limits::new(config.limits.clone(), &metrics);
    let setting = Setting {
        db: db.clone(),
        config: config.events.clone(),
        streams: config.streams.clone(),
        gate: gate.clone(),
        limits: limits.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        stopping: stopping.clone(),
    };
    let Log { publisher, readers, writer } = Log::open(setting, &tasks)?;

    let unasked = watch::Sender::new(0).subscribe();
    tasks.spawn(KeyWatch(gate.clone()), Duration::from_secs(1), unasked.clone());
    tasks.spawn(Tidy(limits.clone()), Duration::from_secs(30), unasked.clone());
    tasks.spawn(writes::Forget(publisher.clone()), Duration::from_secs(600), unasked.clone());
    let timer =
        clearance::Timer { db: db.clone(), publisher: publisher.clone(), clock: clock.clone() };
    tasks.spawn(timer, Duration::from_millis(500), unasked.clone());
    let search = Search::new(db.clone(), readers.tail.clone(), clock.clone(), metrics.clone());
    tasks.spawn(search.clone(), Duration::from_secs(1), unasked.clone());
    let copy =
        history::Copy { db: db.clone(), publisher: publisher.clone(), metrics: metrics.clone() };
    tasks.spawn(copy, Duration::from_secs(1), unasked.clone());
    let thin = history::Thin {
        db: db.clone(),
        publisher: publisher.clone(),
        clock: clock.clone(),
        config: config.prices.clone(),
    };
    tasks.spawn(thin, Duration::from_secs(60), unasked.clone());
    let summaries =
        markets::Timer::new(db.clone(), publisher.clone(), clock.clone(), &config.markets);
    tasks.spawn(summaries, Duration::from_secs(1), unasked.clone());
    let feeds = feeds::Feeds::new(clock.clone());
    let watch = feeds::Watch {
        feeds: feeds.clone(),
        db: db.clone(),
        publisher: publisher.clone(),
        clock: clock.clone(),
    };
    tasks.spawn(watch, Duration::from_secs(1), unasked.clone());
    let expiry =
        reservations::Expiry { db: db.clone(), publisher: publisher.clone(), clock: clock.clone() };
    tasks.spawn(expiry, Duration::from_millis(500), unasked);
    let monitor = alerts::Monitor::new(
        db.clone(),
        publisher.clone(),
        clock.clone(),
        metrics.clone(),
        tasks.shutdown(),
    );
    tasks.spawn(monitor, Duration::from_millis(500), readers.tail.news());

    let doctor = Doctor { readers: readers.clone(), publisher: publisher.clone(), stopping };
    let directory: Arc<dyn Directory> = Arc::new(Names::new(db.clone()));
    let present = Arc::new(State::new(db.clone()));
    let snapshots = Snapshots::new(present, readers.tail.clone(), &metrics);
    let parts = Parts {
        readers,
        snapshots: Data::new(snapshots),
        db: Data::new(db.clone()),
        clock: Data::new(clock),
        gate: Data::new(gate),
        limits: Data::new(limits),
        publisher: Data::new(publisher.clone()),
        directory: Data::new(directory),
        search: Data::new(search),
        doctor: Data::new(doctor),
        metrics: Data::new(metrics),
        http: Data::new(config.http.clone()),
        streams: Data::new(config.streams.clone()),
        alerts: Data::new(alerts_config(config)),
        stock: Data::new(config.stock.clone()),
        feeds: Data::new(feeds),
    };
    let write_time = Duration::from_secs(config.streams.write_seconds);
    let bind = |address: SocketAddr| {
        let listener = listen(address, write_time)
            .map_err(|err| StartError::Io("an address to listen on", err))?;
        let address = listener.local_addr().map_err(|err| StartError::Io("an address", err))?;
        Ok::<_, StartError>((listener, address))
    };
    let (listener, address) = bind(config.listen)?;
    let (ops_listener, ops_address) = bind(config.ops_listen)?;
    let failed = |err| StartError::Io("the server", err);
    let (drain, draining) = watch::channel(false);
    let returned = TaskTracker::new();
    let public = public_server(config, parts.clone(), listener, draining, returned.clone())
        .map_err(failed)?;
    let operators = ops_server(parts, ops_listener).map_err(failed)?;
    let shutdown = Duration::from_secs(config.shutdown_seconds);
    let servers = (public, operators);
    Ok(Service {
        address,
        ops_address,
        publisher,
        db,
        servers,
        stop,
        drain,
        returned,
        tasks,
        writer,
        shutdown,
    })
}

/// `limits.enabled = false` lifts every cap by count, this one too.
fn alerts_config(config: &Config) -> alerts::Config {
    let rules_a_user = if config.limits.enabled { config.alerts.rules_a_user } else { i64::MAX };
    alerts::Config { rules_a_user, ..config.alerts.clone() }
}

/// The pieces that handlers take.
#[derive(Clone)]
struct Parts {
    readers: Readers,
    db: Data<Db>,
    clock: Data<Clock>,
    gate: Data<Gate>,
    limits: Data<Limits>,
    publisher: Data<Publisher>,
    directory: Data<Arc<dyn Directory>>,
    snapshots: Data<Snapshots>,
    search: Data<Search>,
    doctor: Data<Doctor>,
    metrics: Data<Metrics>,
    http: Data<http::Config>,
    streams: Data<crate::events::StreamsConfig>,
    alerts: Data<alerts::Config>,
    stock: Data<stock::Config>,
    feeds: Data<feeds::Feeds>,
}

impl Parts {
    fn put(&self, service: &mut ServiceConfig) {
        service
            .app_data(self.db.clone())
            .app_data(self.clock.clone())
            .app_data(self.gate.clone())
            .app_data(self.limits.clone())
            .app_data(self.publisher.clone())
            .app_data(self.directory.clone())
            .app_data(self.snapshots.clone())
            .app_data(self.search.clone())
            .app_data(self.doctor.clone())
            .app_data(self.metrics.clone())
            .app_data(self.http.clone())
            .app_data(self.streams.clone())
            .app_data(self.alerts.clone())
            .app_data(self.stock.clone())
            .app_data(self.feeds.clone());
    }
}

/// Listens on `address`. What is set on the socket, its connections inherit.
fn listen(address: SocketAddr, write_time: Duration) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    // Nobody else gives up on a peer that does not read; the kernel does.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(write_time))?;
    // Bounds what the kernel holds for one that reads slowly.
    socket.set_send_buffer_size(128 * 1024)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn public_server(
    config: &Config,
    parts: Parts,
    listener: TcpListener,
    draining: watch::Receiver<bool>,
    returned: TaskTracker,
) -> io::Result<Server> {
    let origins = config.http.allowed_origins.clone();
    let workers = match config.http.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        workers => workers,
    };
    let setting = server::Setting {
        readers: parts.readers.clone(),
        workers,
        connections: config.http.connections.min(open_files() / workers.max(1)),
        head_time: Duration::from_secs(config.http.head_seconds),
        shutdown: Duration::from_secs(config.shutdown_seconds.max(2) - 1),
        draining,
        returned,
    };
    server::start(setting, listener, move |hub| {
        let panics = parts.metrics.panics.clone();
        App::new()
            .app_data(hub)
            .configure(|service| parts.put(service))
            .configure(transports::routes)
            .configure(prices::routes)
            .configure(history::routes)
            .configure(similar::routes)
            .configure(markets::routes)
            .configure(stock::routes)
            .configure(reservations::routes)
            .configure(clearance::routes)
            .configure(listings::routes)
            .configure(catalogue::routes)
            .configure(cadence::routes)
            .configure(import::routes)
            .configure(export::routes)
            .configure(rooms::routes)
            .configure(notifications::routes)
            .configure(alerts::routes)
            .configure(auth::routes)
            .configure(ops::routes)
            .configure(dashboard::routes)
            .configure(openapi::routes)
            .wrap(from_fn(limits::guard_reads))
            .wrap(PanicReporter::new(move |_| panics.inc()))
            .wrap(CatchPanic::default())
            .wrap(from_fn(http::finish))
            .wrap(cors(&origins))
            .wrap(Compress::default())
            .wrap(TracingLogger::<RequestSpan>::new())
            .wrap(from_fn(server::mark))
    })
}

/// How many connections may be open at once: some files are kept for the
/// operator's listener, the database and the log.
fn open_files() -> usize {
    const KEPT: u64 = 96;
    let limit = rlimit::Resource::NOFILE.get_soft().unwrap_or(1024);
    usize::try_from(limit.saturating_sub(KEPT).max(16)).unwrap_or(usize::MAX)
}

fn ops_server(parts: Parts, listener: TcpListener) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .configure(|service| parts.put(service))
            .configure(ops::ops_routes)
            .wrap(CatchPanic::default())
            .wrap(from_fn(http::finish))
            .wrap(TracingLogger::<RequestSpan>::new())
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok(server)
}

/// Pages of these origins may use the interface; without any, browsers keep
/// pages of others out by themselves.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "DELETE"])
        .allowed_headers([
            "authorization",
            "content-type",
            "last-event-id",
            "idempotency-key",
            "if-match",
            "accept-language",
        ])
        .expose_headers([
            "x-request-id",
            "retry-after",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
            "idempotency-replayed",
            "etag",
        ])
        .block_on_origin_mismatch(false)
        .max_age(3600);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

impl Service {
    /// The handles with which its servers are stopped.
    pub fn handles(&self) -> (ServerHandle, ServerHandle) {
        (self.servers.0.handle(), self.servers.1.handle())
    }

    /// Runs until `signal` comes, and stops in two steps: first whoever asks
    /// is told that it is not ready, streams that they may come back, polls
    /// that there is nothing; then the servers end, and last the writer, when
    /// all that was begun is done.
    pub async fn run_until(self, signal: impl Future<Output = ()>) {
        let (public, operators) = self.handles();
        let Service { servers, stop, drain, returned, tasks, writer, publisher, shutdown, .. } =
            self;
        let serving = tokio::spawn(async move { tokio::join!(servers.0, servers.1) });
        signal.await;
        tracing::info!("stopping");
        let deadline = tokio::time::Instant::now() + shutdown;
        let _ = stop.send(true);
        // A moment for those in front to notice that it is not ready, and for
        // streams to be told: actix stops accepting as soon as it is told to stop.
        tokio::time::sleep((shutdown / 10).min(Duration::from_secs(1))).await;
        let end = async {
            let _ = drain.send(true);
            returned.close();
            // The rest has to be ended too, whatever these are at.
            let most = shutdown.saturating_sub(Duration::from_secs(2));
            let _ = tokio::time::timeout(most, returned.wait()).await;
            public.stop(true).await;
            tasks.stop().await;
            operators.stop(false).await;
            serving.abort();
            let _ = serving.await;
            drop(publisher);
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        };
        if tokio::time::timeout_at(deadline, end).await.is_err() {
            tracing::warn!("not everything ended in time; what was acknowledged is kept");
        }
        tracing::info!("stopped");
    }
}
