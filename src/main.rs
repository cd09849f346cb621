//! The `teawire` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    teawire::cli::run()
}
