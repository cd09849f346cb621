use super::Failure;
use crate::app::{self, Service};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::telemetry;
use std::future::Future;
use std::io::Write;

/// `teawire serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Refuse to start on a database that is not up to date, instead of
    /// bringing it up to date.
    #[arg(long)]
    no_migrate: bool,
}

/// Runs the service until it is told to stop.
pub fn run(settings: &super::Settings, args: &Args) -> Result<(), Failure> {
    let config = settings.load()?;
    start_log(&config)?;
    let db = app::open_database(&config, !args.no_migrate)?;
    serve(&config, db, |_| std::future::ready(()))
}

pub(super) fn start_log(config: &Config) -> Result<(), Failure> {
    let file = (!config.log_file.as_os_str().is_empty()).then_some(&*config.log_file);
    Ok(telemetry::start(file, config.log_format)?)
}

/// Starts the service, says where, does `then` beside it, and runs until a
/// signal comes.
pub(super) fn serve<F: Future<Output = ()> + Send + 'static>(
    config: &Config,
    db: Db,
    then: impl FnOnce(&Service) -> F,
) -> Result<(), Failure> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let service = app::start(config, db, Clock::System)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "ops listening on http://{}", service.ops_address)?;
        writeln!(out, "listening on http://{}", service.address)?;
        out.flush()?;
        drop(out);
        let beside = tokio::spawn(then(&service));
        let signals = first_signal()?;
        service
            .run_until(async move {
                signals.await;
                beside.abort();
                tokio::spawn(async {
                    if let Ok(second) = first_signal() {
                        second.await;
                        eprintln!("teawire: told twice; stopping at once");
                        std::process::exit(1);
                    }
                });
            })
            .await;
        Ok::<_, Failure>(())
    })?;
    // What is left is work that nobody waits for.
    runtime.shutdown_background();
    Ok(())
}

/// Ends with the next SIGTERM or SIGINT.
fn first_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A stream is an open file; the limit that a shell sets is meant for less.
fn raise_open_files() {
    if let Ok((soft, hard)) = rlimit::Resource::NOFILE.get()
        && soft < hard
    {
        let _ = rlimit::Resource::NOFILE.set(hard, hard);
    }
}
