//! The command line: a client like any other. It talks to a server by AWS's protocols, signed with
//! the keys that `wharf env` prints, and knows nothing that another client could not know.

mod env;
mod events;
mod exec;
mod logs;
mod plan;
mod profile;
mod ps;
mod table;
mod top;
mod transport;
mod why;

pub use env::{EnvArgs, env};
pub use events::{EventsArgs, events};
pub use exec::{ExecArgs, exec};
pub use logs::{LogsArgs, logs};
pub use plan::{PlanArgs, plan};
pub use profile::{Connection, Profile, Target};
pub use ps::{PsArgs, ps};
pub use top::{TopArgs, top};
pub use transport::HttpTransport;
pub use why::{WhyArgs, why};
