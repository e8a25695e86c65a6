//! Named clusters (`corten up --name`): several side by side, each in network namespaces of its own, with one or more
//! nodes, and gone with one `corten down --name`. A machine of such a cluster is a process of its own that runs the
//! code of `corten up` or `corten agent`; here is only what makes machines and takes them away.

pub mod down;
pub mod list;
pub mod look;
pub mod network;
pub mod record;
pub mod up;
