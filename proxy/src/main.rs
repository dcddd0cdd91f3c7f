//! The `patchbay` program.
fn main() {}
