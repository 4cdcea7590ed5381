//! A finished image comes in; what registries, clusters, disks and other people take goes out.

pub mod payload;
pub mod layout;
pub mod unpack;
pub mod registry;
pub mod sources;
pub mod sbom;
pub mod source;
pub mod hypervisor;
pub mod disk;
pub mod sign;
