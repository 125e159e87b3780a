//! Further programs in a container, run to their ends.

use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecInspectResponse;
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};

use super::Inner;
use super::fault::{cause, status};
use crate::{ContainerId, ExecResult, ExecSpec, RuntimeError};

/// What a program gives that was killed for its time.
const TIMED_OUT: i32 = 124;
/// What one gives that was killed with its container.
const KILLED: i64 = 137;

/// What is to be run, and how.
pub(crate) struct Program<'a> {
    pub(crate) args: &'a [String],
    pub(crate) env: &'a [String],
    pub(crate) user: &'a str,
    pub(crate) input: bool,
    pub(crate) terminal: bool,
}

impl Inner {
    /// Has the Engine note a program to run; its id.
    pub(crate) async fn note_program(
        &self,
        container: &ContainerId,
        program: &Program<'_>,
    ) -> Result<String, RuntimeError> {
        if program.args.first().is_none_or(String::is_empty) {
            let why = "a command has at least a program".to_owned();
            return Err(RuntimeError::Invalid { id: container.to_string(), why });
        }
        let options = CreateExecOptions {
            attach_stdin: Some(program.input),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(program.terminal),
            env: Some(program.env.to_vec()).filter(|env| !env.is_empty()),
            cmd: Some(program.args.to_vec()),
            user: Some(program.user.to_owned()).filter(|user| !user.is_empty()),
            ..CreateExecOptions::default()
        };
        let attempt = || format!("run a program in {container}");
        let noted = self.engine.create_exec(&self.names.container(container), options).await;
        Ok(noted.map_err(|error| self.about(attempt(), container.as_str(), &error))?.id)
    }

    /// What has become of a program.
    pub(crate) async fn program(&self, id: &str) -> Result<ExecInspectResponse, RuntimeError> {
        match self.engine.inspect_exec(id).await {
            Ok(found) => Ok(found),
            // It went with its container, which was killed and removed.
            Err(error) if status(&error) == Some(404) => Ok(ExecInspectResponse {
                running: Some(false),
                exit_code: Some(KILLED),
                ..ExecInspectResponse::default()
            }),
            Err(error) => Err(self.failed(format!("look at program {id}"), &error)),
        }
    }

    /// The exit status of a program whose output has ended.
    pub(crate) async fn program_end(&self, id: &str) -> Result<i32, RuntimeError> {
        let mut pause = Duration::from_millis(1);
        loop {
            let found = self.program(id).await?;
            if found.running != Some(true) {
                let code = found.exit_code.and_then(|code| i32::try_from(code).ok());
                return Ok(code.unwrap_or(-1));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Sends a program a signal. Gone already is success. The Engine has no call for that, but it
    /// tells the process, which is on this machine.
    pub(crate) async fn signal_program(&self, id: &str, signal: i32) -> Result<(), RuntimeError> {
        let found = self.program(id).await?;
        let pid = found.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| found.running == Some(true)) else { return Ok(()) };
        let Some(signal) = Signal::from_named_raw(signal) else {
            let why = format!("{signal} is not a signal");
            return Err(RuntimeError::Invalid { id: id.to_owned(), why });
        };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(RuntimeError::System {
                attempt: format!("signal process {pid}"),
                source: error.into(),
            }),
        }
    }

    /// Runs a program to its end.
    pub(crate) async fn run_program(
        &self,
        container: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<ExecResult, RuntimeError> {
        let program = Program {
            args: &spec.args,
            env: &spec.env,
            user: &spec.user,
            input: false,
            terminal: false,
        };
        let id = self.note_program(container, &program).await?;
        let begun = self.engine.start_exec(&id, None::<StartExecOptions>).await;
        let attempt = || format!("run a program in {container}");
        let begun = begun.map_err(|error| self.about(attempt(), container.as_str(), &error))?;
        let StartExecResults::Attached { output: mut stream, input } = begun else {
            let why = "the Engine did not connect its output".to_owned();
            return Err(RuntimeError::Start { id: container.to_string(), why });
        };
        let mut output = Vec::new();
        let read = async {
            while let Some(Ok(piece)) = stream.next().await {
                let room = spec.max_output.saturating_sub(output.len());
                let bytes = piece.into_bytes();
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        };
        let in_time = tokio::time::timeout(spec.timeout, read).await.is_ok();
        drop(input);
        if !in_time {
            self.signal_program(&id, libc::SIGKILL).await?;
            return Ok(ExecResult { code: TIMED_OUT, output });
        }
        let code = self.program_end(&id).await?;
        match refusal(code, &output) {
            Some(why) => Err(RuntimeError::Start { id: container.to_string(), why }),
            None => Ok(ExecResult { code, output }),
        }
    }
}

/// Why a program could not be executed: the Engine says so where the program's output would be.
pub(crate) fn refusal(code: i32, output: &[u8]) -> Option<String> {
    const WORDS: [&str; 3] =
        ["OCI runtime exec failed", "unable to find user", "unable to find group"];
    let text = std::str::from_utf8(output).ok()?.trim();
    let said = WORDS.iter().any(|words| text.starts_with(words));
    (said && !(1..=125).contains(&code)).then(|| cause(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_says_is_told_from_what_programs_say() {
        let said = b"OCI runtime exec failed: exec failed: unable to start container process: \
                     exec: \"/nope\": stat /nope: no such file or directory: unknown\r\n";
        let why = refusal(126, said).unwrap();
        assert_eq!(why, "exec: \"/nope\": no such file or directory");
        assert_eq!(refusal(3, said), None, "a program that only quotes it");
        assert_eq!(refusal(127, b"sh: nope: not found"), None);
    }
}
