//! What SQLite needs to keep its word.

use crate::harness::{Service, on_postgres};
use std::os::unix::fs::MetadataExt;

/// A process that opens the file of a database and closes it drops all locks
/// that it has on it. Another program would then take itself for the only one,
/// and clear away the log of writes from under the service.
#[tokio::test]
async fn the_service_keeps_its_locks_on_the_database() {
    if on_postgres() {
        return; // It has no file of ours.
    }
    let service = Service::start().await;
    service.product("longjing").await;

    let file = service.directory().join("teawire.db");
    let inode = format!(":{} ", std::fs::metadata(file).unwrap().ino());
    // The kernel writes that list piece by piece, while other tests change it.
    let locked = async || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|lock| lock.contains(&inode)).then_some(())
    };
    service.eventually("lock on the database", locked).await;
}
