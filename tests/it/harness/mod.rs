//! A whole service per test: the real program in a directory of its own, and
//! readers that speak plain HTTP to it.

mod api;
pub mod forge;
mod postgres;
mod process;
mod raw;
mod sse;

pub use api::{Answer, Api, message_batch};
pub use postgres::fresh as fresh_database;
pub use raw::{Raw, RawAnswer, body_of, chunks_of};
pub use sse::{Follower, Frame, Frames};

use process::Process;
use reqwest::Method;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, ExitStatus, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// The secret that every service of the suite signs its tokens with.
pub const SECRET: &str = "only-for-tests-0123456789-abcdefghijklmnop";

/// What a test wants to be different from the defaults.
pub struct Setup {
    env: BTreeMap<String, String>,
}

impl Setup {
    /// Caps by rate and by count are off: the suite writes faster than one
    /// merchant may. The tests of the limits turn them on.
    fn new() -> Setup {
        let mut setup = Setup { env: BTreeMap::new() };
        setup.env("TEAWIRE_LISTEN", "127.0.0.1:0");
        setup.env("TEAWIRE_OPS_LISTEN", "127.0.0.1:0");
        setup.env("TEAWIRE_AUTH__JWT_SECRET", SECRET);
        setup.env("TEAWIRE_LOG_FORMAT", "json");
        setup.env("TEAWIRE_LIMITS__ENABLED", false);
        setup.env("TEAWIRE_STREAMS__HAND_OVER", hands_over());
        let sqlite = || "sqlite:teawire.db".to_owned();
        let database = if on_postgres() { postgres::fresh() } else { sqlite() };
        setup.env("TEAWIRE_DATABASE_URL", database);
        setup
    }

    /// Sets a variable of the service's environment.
    pub fn env(&mut self, name: &str, value: impl Display) -> &mut Setup {
        self.env.insert(name.to_owned(), value.to_string());
        self
    }
}

/// Whether connections that wait leave the dispatcher. What is promised is the
/// same; `TEST_HAND_OVER=false` runs the suite without.
pub fn hands_over() -> bool {
    std::env::var("TEST_HAND_OVER").map_or(cfg!(target_os = "linux"), |on| on != "false")
}

/// Whether the suite runs on PostgreSQL.
pub fn on_postgres() -> bool {
    std::env::var("TEST_DATABASE").is_ok_and(|database| database == "postgres")
}

/// What the nodes of one service share: a directory, a database, settings.
struct Home {
    directory: TempDir,
    env: BTreeMap<String, String>,
    nodes: AtomicUsize,
}

impl Home {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teawire"));
        let inherited = std::env::vars().filter(|(name, _)| !name.starts_with("TEAWIRE_"));
        command.args(args).env_clear().envs(inherited).env("RUST_BACKTRACE", "1");
        command.envs(&self.env).current_dir(self.directory.path());
        command
    }
}

/// One running node; gone with the test.
pub struct Service {
    api: Api,
    ops: String,
    process: Process,
    home: Arc<Home>,
}

impl Deref for Service {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Service {
    /// A service on an empty database.
    pub async fn start() -> Service {
        Service::with(|_| ()).await
    }

    /// A service with settings of its own:
    /// `Service::with(|setup| { setup.env("TEAWIRE_EVENTS__KEEP_COUNT", 50); })`.
    pub async fn with(change: impl FnOnce(&mut Setup)) -> Service {
        Service::on(Service::home(change)).await
    }

    /// Two nodes that find the same empty database at the same moment.
    pub async fn pair() -> (Service, Service) {
        let home = Service::home(|_| ());
        tokio::join!(Service::on(home.clone()), Service::on(home))
    }

    /// Another node on the same database.
    pub async fn second_node(&self) -> Service {
        Service::on(self.home.clone()).await
    }

    /// The same, with settings other than the first one's.
    pub async fn another_node(&self, settings: &[(&str, &str)]) -> Service {
        Service::on_with(self.home.clone(), settings).await
    }

    fn home(change: impl FnOnce(&mut Setup)) -> Arc<Home> {
        let mut setup = Setup::new();
        change(&mut setup);
        let directory = tempfile::tempdir().unwrap();
        Arc::new(Home { directory, env: setup.env, nodes: AtomicUsize::new(0) })
    }

    async fn on(home: Arc<Home>) -> Service {
        Service::on_with(home, &[]).await
    }

    async fn on_with(home: Arc<Home>, settings: &[(&str, &str)]) -> Service {
        let node = home.nodes.fetch_add(1, Ordering::Relaxed);
        let log = home.directory.path().join(format!("node-{node}.log"));
        let process = {
            let mut command = home.command(&["serve"]);
            command.envs(settings.iter().copied());
            Process::start(command, &log).await
        };
        let api = Api::new(process.url.clone(), log);
        Service { api, ops: process.ops.clone(), process, home }
    }

    /// The address of the operator's listener.
    pub fn ops(&self) -> &str {
        &self.ops
    }

    /// A figure of the service, all its labels together.
    pub async fn metric(&self, name: &str) -> f64 {
        let request = self.request(Method::GET, &format!("{}/metrics", self.ops()));
        // One that was kept might be closed in the moment it is used again.
        let answer = self.send(request.header("Connection", "close")).await;
        let lines = answer.text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        lines.sum()
    }

    /// Waits until a figure of the service is `wanted`.
    pub async fn metric_is(&self, name: &str, wanted: u32) {
        let is = async || (self.metric(name).await == f64::from(wanted)).then_some(());
        self.eventually(&format!("{name} of {wanted}"), is).await;
    }

    /// The URL of its database, as whoever stands outside would write it.
    pub fn database(&self) -> String {
        let url = &self.home.env["TEAWIRE_DATABASE_URL"];
        match url.strip_prefix("sqlite:") {
            Some(file) => format!("sqlite:{}", self.directory().join(file).display()),
            None => url.clone(),
        }
    }

    fn connect(&self) -> teawire::db::Conn {
        self.database().parse::<teawire::db::Url>().unwrap().connect().unwrap()
    }

    /// Does something to the database behind the service's back, as time would.
    pub fn sql(&self, statement: &str) {
        use diesel::connection::SimpleConnection;
        self.connect().batch_execute(statement).unwrap();
    }

    /// How many rows each table has, asked of the database itself.
    pub fn rows(&self, tables: &[&str]) -> Vec<i64> {
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            count: i64,
        }
        let mut conn = self.connect();
        let count = |table: &&str| {
            let query = diesel::sql_query(format!("SELECT COUNT(*) AS count FROM {table}"));
            diesel::RunQueryDsl::get_result::<Count>(query, &mut conn).unwrap().count
        };
        tables.iter().map(count).collect()
    }

    /// Where the service keeps its files.
    pub fn directory(&self) -> &Path {
        self.home.directory.path()
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks the service to end, without waiting for it.
    pub fn signal_end(&self) {
        self.process.signal("TERM");
    }

    /// Waits for the end of the service.
    pub async fn ended(&mut self) -> ExitStatus {
        self.api.within("end of the service", self.process.ended()).await
    }

    /// `kill -15`, and how the service ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal_end();
        self.ended().await
    }

    /// Starts the service again where it was: same database, same address.
    pub async fn restart(&mut self) {
        self.restart_as(|_| ()).await;
    }

    /// The same with settings other than before.
    pub async fn restart_with(&mut self, settings: &[(&str, &str)]) {
        self.restart_as(|command| {
            command.envs(settings.iter().copied());
        })
        .await;
    }

    async fn restart_as(&mut self, change: impl FnOnce(&mut Command)) {
        self.process.kill();
        let mut command = self.home.command(&["serve"]);
        change(&mut command);
        command.env("TEAWIRE_LISTEN", self.api.address());
        self.process = Process::start(command, self.api.log_file()).await;
        self.ops = self.process.ops.clone();
        self.api = Api::new(self.process.url.clone(), self.api.log_file().to_owned());
    }

    /// Runs `teawire <args>` beside the service, with its settings, to the end.
    pub fn cli(&self, args: &[&str]) -> Output {
        self.home.command(args).output().unwrap()
    }

    /// What `teawire <args>` printed; it must have ended well.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "teawire {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
