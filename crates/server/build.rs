//! A release build carries the console's files within itself, so it has to notice when they were built anew. It builds
//! none of them: that is a chore of its own (`cargo xtask console`). A development build reads them from the folder.

fn main() {
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    println!("cargo:rerun-if-changed={}", if is_release { "../../web/dist" } else { "build.rs" });
}
