//! Parses the command line and hands over.

fn main() -> std::process::ExitCode {
    plumbline::cli::run(std::env::args_os())
}
