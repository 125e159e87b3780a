//! How long a session of ExecuteCommand waits for its two ends: values and instants, nothing else.

use std::time::Duration;

use tokio::time::Instant;

/// A client that has not come by then comes no more.
const CLIENT_COMES: Duration = Duration::from_secs(60);
/// The agent is waited for so long once the client is there.
const AGENT_COMES: Duration = Duration::from_secs(30);
/// An end that went away may come back for so long.
const AWAY: Duration = Duration::from_secs(120);
/// A session in which nothing is said ends, as ECS documents.
const IDLE: Duration = Duration::from_secs(20 * 60);

/// Where one end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It has never been here.
    Expected,
    Here,
    /// It was here until then.
    Away(Instant),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody came with the token.
    NobodyCame,
    /// The agent never came.
    AgentNeverCame,
    /// The client closed it, or did not come back.
    ClientGone,
    /// The agent did not come back.
    AgentLost,
    /// The agent closed it.
    Closed,
    /// Nothing was said.
    Idle,
    /// TerminateSession, or another session needed its place.
    Terminated,
}

impl Why {
    /// For the log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NobodyCame => "nobody came with its token",
            Self::AgentNeverCame => "the agent did not come",
            Self::ClientGone => "the client is gone",
            Self::AgentLost => "the agent is gone",
            Self::Closed => "it was closed",
            Self::Idle => "nothing was said",
            Self::Terminated => "it was terminated",
        }
    }

    /// For the user, where the agent has not said it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::NobodyCame | Self::ClientGone | Self::Closed => "",
            Self::AgentNeverCame => {
                "The task's node did not open the session. Its agent's log says why."
            }
            Self::AgentLost => "The connection to the task's node was lost.",
            Self::Idle => "The session was idle for 20 minutes.",
            Self::Terminated => "The session was terminated.",
        }
    }
}

/// What is known of a session's ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    begun: Instant,
    client: Place,
    agent: Place,
    /// When the client came first.
    came: Instant,
    said: Instant,
}

impl Life {
    /// A session that ExecuteCommand has opened: both ends are to come.
    pub(crate) const fn opened(now: Instant) -> Self {
        let (client, agent) = (Place::Expected, Place::Expected);
        Self { begun: now, client, agent, came: now, said: now }
    }

    /// A session whose agent has come back to a server that does not know it: a restarted one.
    pub(crate) const fn found(now: Instant) -> Self {
        let (client, agent) = (Place::Away(now), Place::Expected);
        Self { begun: now, client, agent, came: now, said: now }
    }

    pub(crate) fn client_comes(&mut self, now: Instant) {
        if self.client == Place::Expected {
            self.came = now;
        }
        (self.client, self.said) = (Place::Here, now);
    }

    pub(crate) const fn client_goes(&mut self, now: Instant) {
        self.client = Place::Away(now);
    }

    pub(crate) const fn agent_comes(&mut self) {
        self.agent = Place::Here;
    }

    pub(crate) const fn agent_goes(&mut self, now: Instant) {
        self.agent = Place::Away(now);
    }

    /// Something was said.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.said = self.said.max(now);
    }

    /// Since when the client is away, after it has been here.
    pub(crate) const fn client_away(&self) -> Option<Instant> {
        match self.client {
            Place::Away(since) => Some(since),
            Place::Expected | Place::Here => None,
        }
    }

    /// When the session ends unless something happens, and why.
    pub(crate) fn end(&self) -> (Instant, Why) {
        let idle = (self.said + IDLE, Why::Idle);
        let client = match self.client {
            Place::Expected => Some((self.begun + CLIENT_COMES, Why::NobodyCame)),
            Place::Away(since) => Some((since + AWAY, Why::ClientGone)),
            Place::Here => None,
        };
        let agent = match (self.agent, self.client) {
            // It is asked for only once, and has its time from when somebody waits for it.
            (Place::Expected, Place::Expected) | (Place::Here, _) => None,
            (Place::Expected, _) => Some((self.came + AGENT_COMES, Why::AgentNeverCame)),
            (Place::Away(since), _) => Some((since + AWAY, Why::AgentLost)),
        };
        let all = [client, agent].into_iter().flatten();
        all.fold(idle, |first, next| if next.0 < first.0 { next } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_waited_for_as_long_as_it_may_come() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let mut life = Life::opened(zero);
        assert_eq!(life.end(), (at(60), Why::NobodyCame));
        life.client_comes(at(50));
        assert_eq!(life.end(), (at(80), Why::AgentNeverCame));
        life.agent_comes();
        assert_eq!(life.end(), (at(50 + 1200), Why::Idle));
        life.heard(at(100));
        life.heard(at(90));
        assert_eq!(life.end(), (at(100 + 1200), Why::Idle), "time does not run backwards");
        life.client_goes(at(200));
        assert_eq!((life.end(), life.client_away()), ((at(320), Why::ClientGone), Some(at(200))));
        life.agent_goes(at(210));
        assert_eq!(life.end(), (at(320), Why::ClientGone));
        life.client_comes(at(300));
        assert_eq!(life.end(), (at(330), Why::AgentLost));
        life.agent_comes();
        assert_eq!(life.end(), (at(300 + 1200), Why::Idle));
    }

    #[test]
    fn a_restarted_server_waits_for_the_client_of_a_session_that_it_finds() {
        let zero = Instant::now();
        let mut life = Life::found(zero);
        life.agent_comes();
        assert_eq!(life.end(), (zero + AWAY, Why::ClientGone));
    }
}
