//! Below all stages: errors, the terminal, processes, paths and stamps; knows nothing of programs, kernels or images.

pub mod target;
pub mod error;
pub mod units;
pub mod term;
pub mod quote;
pub mod run;
pub mod plan;
pub mod workdir;
pub mod env;
pub mod cached;
pub mod stamp;
