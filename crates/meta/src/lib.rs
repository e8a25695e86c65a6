//! The language of the API. What every room speaks: names, selectors, quantities, the Status error, and
//! the one form of request and response. It must never do I/O, know HTTP paths, or read a clock.

pub mod admission;
pub mod cron;
pub mod duration;
pub mod field;
pub mod fields;
pub mod gvr;
pub mod int_or_string;
pub mod json;
pub mod labels;
pub mod name;
pub mod pem;
pub mod placement;
pub mod quantity;
pub mod request;
pub mod response;
pub mod status;
pub mod time;
pub mod user;
pub mod zone;

pub use admission::{Admission, Decision, Identity, Proof, Ticket};
pub use field::{ErrorKind, FieldError, Path};
pub use gvr::{Gvk, Gvr};
pub use int_or_string::IntOrString;
pub use quantity::Quantity;
pub use request::{Credentials, Query, Request, Target, Verb};
pub use response::{Body, BodyStream, BoxFuture, Handler, Response, Tunnel};
pub use status::{Status, StatusCause, StatusDetails};
pub use user::User;
