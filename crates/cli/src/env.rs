//! `wharf env`: the exports that point AWS's tools at a server.

use std::fmt::Write;

use anyhow::Result;

use crate::{Connection, Target};

/// Prints the exports that point AWS's tools at a server
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  eval \"$(wharf env)\"\n  eval \"$(wharf env --data-dir ./data)\" && aws ecs list-clusters"
)]
pub struct EnvArgs {
    /// Which server.
    #[command(flatten)]
    pub target: Target,
}

/// The text to print.
///
/// # Errors
/// No server is known.
pub fn env(args: &EnvArgs) -> Result<String> {
    Ok(exports(&Connection::find(&args.target)?))
}

fn exports(connection: &Connection) -> String {
    let mut text = String::new();
    let credentials = &connection.credentials;
    let mut export = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        writeln!(text, "export {name}={}", quoted(value)).unwrap_or(());
    };
    export("AWS_ENDPOINT_URL", &connection.endpoint);
    export("AWS_ACCESS_KEY_ID", &credentials.access_key_id);
    export("AWS_SECRET_ACCESS_KEY", credentials.secret.reveal());
    if let Some(token) = &credentials.session_token {
        export("AWS_SESSION_TOKEN", token.reveal());
    }
    export("AWS_REGION", &connection.region);
    export("AWS_DEFAULT_REGION", &connection.region);
    text
}

/// As a shell reads it back.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=@".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::Credentials;

    #[test]
    fn a_shell_reads_back_what_is_meant() {
        let connection = Connection {
            endpoint: "http://127.0.0.1:4747".into(),
            region: "us-east-1".into(),
            credentials: Credentials::new("AKIDEXAMPLE", "it's/a+secret"),
        };
        assert_eq!(
            exports(&connection),
            "export AWS_ENDPOINT_URL=http://127.0.0.1:4747\n\
             export AWS_ACCESS_KEY_ID=AKIDEXAMPLE\n\
             export AWS_SECRET_ACCESS_KEY='it'\\''s/a+secret'\n\
             export AWS_REGION=us-east-1\n\
             export AWS_DEFAULT_REGION=us-east-1\n"
        );
    }
}
