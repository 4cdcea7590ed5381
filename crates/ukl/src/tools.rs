//! What people look at and keep beside the pipeline: the cache, the host, settings, pins, scripts, debuggers.

pub mod cache;
pub mod share;
pub mod debug;
pub mod crash;
pub mod doctor;
pub mod inspect;
pub mod templates;
pub mod pins;
pub mod saved;
pub mod script;
pub mod settings;
