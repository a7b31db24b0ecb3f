//! Tells the crate how it is built: so that importing an unoptimised build can warn, and that figures can say whether
//! the build learned from a profile.

fn main() {
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    println!("cargo:rustc-env=ELSEWHERE_OPT_LEVEL={level}");
    println!("cargo:rustc-env=ELSEWHERE_IS_PROFILED={}", flags.contains("profile-use="));
    println!("cargo:rerun-if-changed=build.rs");
}
