//! `embed_migrations!` notices an edited migration but not a new folder.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
