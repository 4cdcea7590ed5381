//! The command line of `ukl bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::measure::bench::Server;

/// `ukl bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// Hello: edit to image, QEMU start to output, sizes, least memory
    Build {
        /// How often
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = rounds)]
        rounds: usize,
        /// Build everything from nothing first, in a cache of its own (minutes)
        #[arg(long)]
        cold: bool,
    },
    /// A server in app mode and in ring 3, in turn: requests per second, latency, processor time, memory
    Serve(ServeArgs),
    /// A server in app mode and in ring 3: instructions for each request, the client inside the guest
    Count(CountArgs),
    /// Single system calls, faults and signals in app mode and in ring 3: instructions of each
    Calls {
        /// Image folder
        #[arg(short, long, value_name = "DIR", default_value = "build/bench-calls")]
        out: PathBuf,
    },
}

/// `ukl bench serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Which server
    #[arg(value_enum)]
    pub server: Server,
    /// How often each mode is booted
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = rounds)]
    pub rounds: usize,
    /// Requests of one load
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub requests: u64,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=512))]
    pub connections: u64,
    /// Requests that a connection sends before it waits for replies; a load for each
    #[arg(long, value_name = "N,…", default_value = "1,16", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=256))]
    pub pipeline: Vec<u64>,
    /// Do not search for the least memory (saves minutes)
    #[arg(long)]
    pub no_memory: bool,
    /// Image folder [default: build/bench-NAME]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `ukl bench count`.
#[derive(Debug, Clone, Args)]
pub struct CountArgs {
    /// Which server
    #[arg(value_enum)]
    pub server: Server,
    /// How often each mode is booted, each time with another seed for its random numbers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = rounds)]
    pub rounds: usize,
    /// Requests of one load
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(512..=10_000_000))]
    pub requests: u64,
    /// Connections at once; loads for each
    #[arg(long, value_name = "N,…", default_value = "1,8", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=512))]
    pub connections: Vec<u64>,
    /// Requests that a connection sends before it waits for replies; a load for each
    #[arg(long, value_name = "N,…", default_value = "1,16", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=256))]
    pub pipeline: Vec<u64>,
    /// Image folder [default: build/bench-NAME]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn rounds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(rounds @ 1..=1000) => Ok(rounds),
        _ => Err("a number from 1 to 1000 is wanted".into()),
    }
}
