//! The load generator behind `scripts/bench`: one thread, nonblocking sockets,
//! its own minimal clients, so that it can saturate a server from the other
//! core. `bench --help` lists the modes and options.

#![forbid(unsafe_code)]

#[cfg(feature = "sqlite")]
mod durable;
mod fanout;
mod idle;
mod logins;
mod net;
mod options;
mod process;
mod pump;
mod push;
mod report;
mod requests;
mod slow;
mod spread;
#[cfg(feature = "sqlite")]
mod start;
mod stats;
mod steady;
mod target;
mod views;
mod watch;
mod wire;

use std::process::ExitCode;

use options::Options;
use report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match options::parse(&arguments) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::new(options.json);
    for mode in &options.modes {
        if let Err(error) = run(mode, &options, &mut report) {
            report.fail(mode, &error);
        }
    }
    if options.table {
        report.table();
    }
    match report.finish() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run(mode: &str, options: &Options, report: &mut Report) -> Result<(), String> {
    match mode {
        #[cfg(feature = "sqlite")]
        "durable" => durable::run(options, report),
        #[cfg(feature = "sqlite")]
        "start" => start::run(options, report),
        #[cfg(not(feature = "sqlite"))]
        "durable" | "start" => Err("this build keeps data in memory only".into()),
        "steady" => steady::run(options, report),
        "fanout" => fanout::run(options, report),
        "logins" => logins::run(options, report),
        "idle" => idle::idle(options, report),
        "records" => idle::records(options, report),
        "slow" => slow::run(options, report),
        "params" => views::params(options, report),
        "topn" => views::topn(options, report),
        "agg" => views::agg(options, report),
        "delta" => views::delta(options, report),
        "push" => push::run(options, report),
        "joins" => spread::joins(options, report),
        "rows" => spread::rows(options, report),
        _ => requests::run(mode, options, report),
    }
}
