use super::Failure;
use crate::app::{self, Service};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::telemetry;
use std::future::Future;
use std::io::Write;
use tokio::sync::oneshot;

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
    let _log = start_log(&config)?;
    let db = app::open_database(&config, !args.no_migrate)?;
    serve(&config, db, |_| std::future::ready(()))
}

pub(super) fn start_log(config: &Config) -> Result<telemetry::LogGuard, Failure> {
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
        // Before anybody is told that it runs, and may tell it to stop.
        let told = told_to_stop()?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "ops listening on http://{}", service.ops_address)?;
        writeln!(out, "listening on http://{}", service.address)?;
        out.flush()?;
        drop(out);
        let beside = tokio::spawn(then(&service));
        service
            .run_until(async move {
                // Whoever would have told us may be gone: that is no reason to stop.
                if told.await.is_err() {
                    std::future::pending::<()>().await;
                }
                beside.abort();
            })
            .await;
        Ok::<_, Failure>(())
    })?;
    // What is left is work that nobody waits for.
    runtime.shutdown_background();
    Ok(())
}

/// Is told of the first SIGTERM or SIGINT; the second ends the process. One
/// listener hears both, so that none falls between two.
fn told_to_stop() -> std::io::Result<oneshot::Receiver<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let mut tell = Some(tell);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match tell.take() {
                Some(tell) => {
                    let _ = tell.send(());
                }
                None => {
                    eprintln!("teawire: told twice; stopping at once");
                    std::process::exit(1);
                }
            }
        }
    });
    Ok(told)
}

/// A stream is an open file; the limit that a shell sets is meant for less.
fn raise_open_files() {
    if let Ok((soft, hard)) = rlimit::Resource::NOFILE.get()
        && soft < hard
    {
        let _ = rlimit::Resource::NOFILE.set(hard, hard);
    }
}
