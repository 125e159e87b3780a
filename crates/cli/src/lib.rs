//! The command line: a client like any other. It talks to a server by AWS's protocols, signed with
//! the keys that `wharf env` prints, and knows nothing that another client could not know.

mod env;
mod exec;
mod logs;
mod profile;
mod ps;
mod table;
mod top;
mod transport;

pub use env::{EnvArgs, env};
pub use exec::{ExecArgs, exec};
pub use logs::{LogsArgs, logs};
pub use profile::{Connection, Profile, Target};
pub use ps::{PsArgs, ps};
pub use top::{TopArgs, top};
pub use transport::HttpTransport;
