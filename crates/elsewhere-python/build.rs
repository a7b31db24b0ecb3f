//! Tells the crate how it is optimised, so that importing an unoptimised build can warn.

fn main() {
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=ELSEWHERE_OPT_LEVEL={level}");
    println!("cargo:rerun-if-changed=build.rs");
}
