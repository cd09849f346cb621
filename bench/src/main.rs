//! Load generator for teawire and the servers it is compared with. See README.md.

mod args;
mod hist;
mod http;
mod message;
mod modes;
mod net;
mod proc;
mod profile;
mod publisher;
mod report;
mod run;
mod shared;
mod topics;
mod worker;

fn main() {
    if let Err(e) = args::parse().and_then(|options| run::run(&options)) {
        eprintln!("teawire-load: {e}");
        std::process::exit(2);
    }
}
