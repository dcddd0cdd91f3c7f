//! The `patchbay` program: arguments in, exit code out.

// Built without transparent huge pages: they make 12 MiB resident at the start of which 2 are used, and zeroing them takes
// milliseconds. (Children that speak stdio inherit the choice.)
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    patchbay::cli::main()
}
