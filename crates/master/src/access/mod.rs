//! Who calls, and what each may do: credentials, the table of methods, and the layers around the
//! services.

mod audit;
mod caller;
mod control;
mod examine;
mod file;
mod jwt;
mod layer;
mod limits;
mod presented;
mod table;
mod token;

pub(crate) use audit::{Audit, AuditNote, LateVerdict};
pub use audit::{AuditDestination, AuditError};
pub(crate) use caller::ShownToken;
pub(crate) use control::{AccessControl, OuterSources};
pub(crate) use examine::{attempt_named, check_key, is_of_revoked_worker, unknown};
pub(crate) use file::{ACCESS_FILE, FIRST_TOKEN_FILE};
pub use file::{AccessFileError, add_first_token, add_token};
pub(crate) use jwt::JwtIssuer;
pub use jwt::{JwksError, JwksSource, JwtSettings};
pub(crate) use layer::{Authenticate, Authorize, from_masters_alone};
pub use limits::CallerLimits;
