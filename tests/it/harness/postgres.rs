//! A PostgreSQL of the suite's own, started once and gone with it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a cluster in a directory of its own until its input ends, which it does
/// however the tests end: the other end of that pipe is held by their process.
const GUARD: &str = r#"
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
initdb -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
pg_ctl -D data -w -l log -o "-p $1 -k $dir -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=on" start >/dev/null || { cat log >&2; exit 1; }
echo ready
cat >/dev/null
pg_ctl -D data -m immediate stop >/dev/null
"#;

struct Cluster {
    port: u16,
    /// Its input is the pipe that keeps the cluster alive.
    _guard: Child,
}

impl Cluster {
    fn start() -> Cluster {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // PostgreSQL refuses to run as root.
        let mut command = if is_root() {
            let mut command = tool("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            tool("sh")
        };
        command.args(["-c", GUARD, "guard", &port.to_string()]);
        // Whoever kills the tests and all their group must not kill the guard.
        command.process_group(0).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guard = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "PostgreSQL did not start");
        Cluster { port, _guard: guard }
    }
}

/// The address of an empty database.
pub fn fresh() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static DATABASES: AtomicUsize = AtomicUsize::new(0);
    let port = CLUSTER.get_or_init(Cluster::start).port;
    let server = format!("postgres://postgres@127.0.0.1:{port}");
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let sql = format!("CREATE DATABASE {name}");
    let made = tool("psql").args([&format!("{server}/postgres"), "-qXc", &sql]).status().unwrap();
    assert!(made.success());
    format!("{server}/{name}")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// A command that finds PostgreSQL's tools where Debian hides them, too.
fn tool(name: &str) -> Command {
    let mut path = std::env::var("PATH").unwrap_or_default();
    let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql"));
    for version in versions.into_iter().flatten().flatten() {
        path = format!("{path}:{}", version.path().join("bin").display());
    }
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
