//! Two ends over a channel that loses, repeats, reorders and breaks: all bytes arrive once, in order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use channel::{AgentEvent, AgentSide, ClientEvent, ClientSide, Message, MessageType, Size, Wish};
use proptest::prelude::*;
use stdx::{Entropy, SeededEntropy, Timestamp};

/// Frames under way, each with the instant at which it arrives.
struct Way {
    frames: Vec<(Timestamp, Vec<u8>)>,
    /// In thousandths.
    loss: u64,
    repeat: u64,
    chance: SeededEntropy,
}

impl Way {
    fn put(&mut self, frame: Vec<u8>, now: Timestamp) {
        if self.chance.below(1000) < self.loss {
            return;
        }
        let copies = if self.chance.below(1000) < self.repeat { 2 } else { 1 };
        for _ in 0..copies {
            let later = Duration::from_millis(1 + self.chance.below(120));
            self.frames.push((now + later, frame.clone()));
        }
    }

    fn take(&mut self, now: Timestamp) -> Vec<Vec<u8>> {
        let (ready, rest) = self.frames.drain(..).partition(|(at, _)| *at <= now);
        self.frames = rest;
        let ready: Vec<(Timestamp, Vec<u8>)> = ready;
        ready.into_iter().map(|(_, frame)| frame).collect()
    }
}

#[derive(Default)]
struct Outcome {
    to_client: Vec<u8>,
    errors: Vec<u8>,
    to_agent: Vec<u8>,
    starts: Vec<Wish>,
    sizes: Vec<Size>,
    ended: bool,
    exit: Option<i32>,
}

struct Ends {
    agent: AgentSide,
    client: ClientSide,
    chance: SeededEntropy,
    seen: Outcome,
}

impl Ends {
    fn at_agent(&mut self, frame: &[u8], now: Timestamp) {
        for event in self.agent.receive(frame, now, &mut self.chance).unwrap() {
            match event {
                AgentEvent::Start(wish) => self.seen.starts.push(wish),
                AgentEvent::Input(bytes) => self.seen.to_agent.extend(bytes),
                AgentEvent::Resize(size) => self.seen.sizes.push(size),
                AgentEvent::EndOfInput => self.seen.ended = true,
                AgentEvent::Refused(why) => panic!("{why}"),
                AgentEvent::Terminate => panic!("nobody ended it"),
            }
        }
    }

    fn at_client(&mut self, frame: &[u8], now: Timestamp) {
        for event in self.client.receive(frame, now, &mut self.chance).unwrap() {
            match event {
                ClientEvent::Started { .. } => {
                    self.client.resize(Size { cols: 80, rows: 24 }, now, &mut self.chance);
                }
                ClientEvent::Output(bytes) => self.seen.to_client.extend(bytes),
                ClientEvent::ErrorOutput(bytes) => self.seen.errors.extend(bytes),
                ClientEvent::Exited(code) => self.seen.exit = Some(code),
                ClientEvent::Closed { words } => panic!("closed: {words}"),
            }
        }
    }
}

/// How bad the channel is, in thousandths; `breaks` for each step of 10 ms.
#[derive(Clone, Copy)]
struct Weather {
    loss: u64,
    repeat: u64,
    breaks: u64,
}

fn run(down: &[u8], up: &[u8], wish: &Wish, weather: Weather, seed: u64) -> Outcome {
    let Weather { loss, repeat, breaks } = weather;
    let mut now = Timestamp::from_millis(1_000_000);
    let way = |salt| Way { frames: Vec::new(), loss, repeat, chance: SeededEntropy::new(salt) };
    let (mut there, mut back) = (way(seed), way(seed ^ 0xff));
    let mut ends = Ends {
        agent: AgentSide::new("s"),
        client: ClientSide::new(wish.clone(), "t"),
        chance: SeededEntropy::new(seed ^ 0xabcd),
        seen: Outcome::default(),
    };
    let start = channel::control(MessageType::StartPublication, Vec::new(), now, &mut ends.chance);
    ends.at_agent(&start, now);
    let (mut down_at, mut up_at, mut fin, mut exited) = (0, 0, false, false);
    let (mut sky, mut away) = (SeededEntropy::new(seed ^ 0x77), 0);
    for _ in 0..200_000 {
        if away == 0 && sky.below(1000) < breaks {
            away = 1 + sky.below(40);
            there.frames.clear();
            back.frames.clear();
            ends.agent.cut();
            ends.client.cut();
        } else if away == 1 {
            ends.at_agent(&start, now);
            ends.client.resume(now);
        }
        away = away.saturating_sub(1);
        if away > 0 {
            now = now + Duration::from_millis(10);
            continue;
        }
        if ends.agent.has_room() && down_at < down.len() {
            let end = (down_at + 5000).min(down.len());
            down_at += ends.agent.output(&down[down_at..end], false, now, &mut ends.chance);
        } else if ends.agent.has_room() && !exited {
            ends.agent.output(b"oops", true, now, &mut ends.chance);
            ends.agent.exited(7, now, &mut ends.chance);
            exited = true;
        }
        if ends.client.has_room() && up_at < up.len() {
            up_at += ends.client.input(&up[up_at..], now, &mut ends.chance);
        } else if ends.client.has_room() && !fin {
            ends.client.end_input(now, &mut ends.chance).unwrap();
            fin = true;
        }
        ends.agent.tick(now).unwrap();
        ends.client.tick(now).unwrap();
        while let Some(frame) = ends.agent.next_frame() {
            there.put(frame, now);
        }
        while let Some(frame) = ends.client.next_frame() {
            back.put(frame, now);
        }
        if exited && fin && ends.agent.is_settled() && ends.client.is_settled() {
            return ends.seen;
        }
        now = now + Duration::from_millis(10);
        for frame in there.take(now) {
            ends.at_client(&frame, now);
        }
        for frame in back.take(now) {
            ends.at_agent(&frame, now);
        }
    }
    panic!("the channel never settled");
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut chance = SeededEntropy::new(seed);
    (0..length).map(|_| chance.next_u64().to_be_bytes()[0]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn all_bytes_arrive_once_and_in_order(
        down in 0_usize..120_000,
        up in 0_usize..30_000,
        loss in 0_u64..300,
        repeat in 0_u64..300,
        breaks in 0_u64..30,
        terminal: bool,
        seed: u64,
    ) {
        let (down, up) = (noise(down, seed), noise(up, !seed));
        let wish = Wish { terminal, exit_code: true, size: None, term: Some("xterm".into()) };
        let seen = run(&down, &up, &wish, Weather { loss, repeat, breaks }, seed);
        let (output, errors) = if terminal {
            ([&down[..], b"oops"].concat(), Vec::new())
        } else {
            (down, b"oops".to_vec())
        };
        prop_assert!(seen.to_client == output);
        prop_assert_eq!(seen.errors, errors);
        prop_assert!(seen.to_agent == up);
        prop_assert_eq!(seen.starts, vec![wish]);
        prop_assert_eq!(seen.sizes, vec![Size { cols: 80, rows: 24 }]);
        prop_assert_eq!((seen.ended, seen.exit), (true, Some(7)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(Message::decode(&bytes));
        let mut chance = SeededEntropy::new(1);
        let now = Timestamp::EPOCH;
        drop(AgentSide::new("s").receive(&bytes, now, &mut chance));
        drop(ClientSide::new(Wish::of_the_plugin(), "t").receive(&bytes, now, &mut chance));
    }

    #[test]
    fn what_is_encoded_is_decoded(payload in proptest::collection::vec(any::<u8>(), 0..3000), sequence: i64, number: u32, flags: u64) {
        let message = Message {
            message_type: MessageType::OutputStreamData,
            created: Timestamp::from_millis(sequence),
            sequence,
            flags,
            id: channel::MessageId::random(&mut SeededEntropy::new(flags)),
            payload_type: channel::PayloadType::from_number(number),
            payload,
        };
        prop_assert_eq!(Message::decode(&message.encode()).unwrap(), message);
    }
}

/// Damaged frames of a real session, many of them: both ends go on or refuse the frame, never panic.
#[test]
fn mutated_frames_never_panic() {
    let mut chance = SeededEntropy::new(42);
    let now = Timestamp::from_millis(5);
    let mut seeds = Vec::new();
    let mut agent = AgentSide::new("s");
    let start = channel::control(MessageType::StartPublication, Vec::new(), now, &mut chance);
    agent.receive(&start, now, &mut chance).unwrap();
    let greeting = agent.next_frame().unwrap();
    let mut client = ClientSide::new(Wish::of_the_plugin(), "t");
    client.receive(&greeting, now, &mut chance).unwrap();
    let end = channel::closing("s", "w", now, &mut chance);
    assert!(
        channel::is_closing(&end) && !channel::is_closing(&greeting) && !channel::is_closing(b"")
    );
    client.resize(Size { cols: 1, rows: 2 }, now, &mut chance);
    seeds.extend([start, greeting, channel::closing("s", "w", now, &mut chance)]);
    seeds.extend(std::iter::from_fn(|| client.next_frame()));
    for round in 0..40_000_u64 {
        let pick = usize::try_from(chance.below(seeds.len() as u64)).unwrap();
        let mut frame = seeds[pick].clone();
        for _ in 0..=chance.below(4) {
            let at = usize::try_from(chance.below(frame.len() as u64)).unwrap();
            match chance.below(3) {
                0 => frame[at] = chance.next_u64().to_be_bytes()[0],
                1 => frame.truncate(at.max(1)),
                _ => frame.insert(at, chance.next_u64().to_be_bytes()[0]),
            }
        }
        let mut agent = AgentSide::new("s");
        drop(agent.receive(&seeds[0], now, &mut chance));
        drop(agent.receive(&frame, now, &mut chance));
        let mut client = ClientSide::new(Wish::of_the_plugin(), "t");
        drop(client.receive(&frame, now, &mut chance));
        assert!(round == 0 || agent.tick(now).is_ok());
    }
}

/// As the plugin answers: no result, and a size while the handshake is under way.
#[test]
fn the_plugin_gets_a_terminal_and_no_exit_status() {
    let mut chance = SeededEntropy::new(9);
    let now = Timestamp::from_millis(1);
    let mut agent = AgentSide::new("s");
    let start = channel::control(MessageType::StartPublication, Vec::new(), now, &mut chance);
    assert_eq!(agent.receive(&start, now, &mut chance).unwrap(), []);
    let greeting = Message::decode(&agent.next_frame().unwrap()).unwrap();
    assert_eq!((greeting.sequence, greeting.flags), (0, channel::SYN));
    let json: serde_json::Value = serde_json::from_slice(&greeting.payload).unwrap();
    assert_eq!(
        json["RequestedClientActions"][0]["ActionParameters"]["SessionType"],
        "InteractiveCommands"
    );
    let mut frame = |sequence, payload_type, payload: &str| {
        let message = Message {
            message_type: MessageType::InputStreamData,
            created: now,
            sequence,
            flags: 0,
            id: channel::MessageId::random(&mut chance),
            payload_type,
            payload: payload.as_bytes().to_vec(),
        };
        message.encode()
    };
    let answer = r#"{"ClientVersion":"1.2.650.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}"#;
    let size = frame(1, channel::PayloadType::Size, r#"{"cols":120,"rows":50}"#);
    let answer = frame(0, channel::PayloadType::HandshakeResponse, answer);
    let mut chance = SeededEntropy::new(10);
    assert_eq!(agent.receive(&size, now, &mut chance).unwrap(), [], "it came too early");
    assert_eq!(
        agent.receive(&answer, now, &mut chance).unwrap(),
        [
            AgentEvent::Start(Wish::of_the_plugin()),
            AgentEvent::Resize(Size { cols: 120, rows: 50 }),
        ]
    );
    agent.exited(3, now, &mut chance);
    let sent: Vec<Message> = std::iter::from_fn(|| agent.next_frame())
        .map(|frame| Message::decode(&frame).unwrap())
        .collect();
    let kinds: Vec<_> = sent.iter().map(|m| (m.message_type.as_str(), m.payload_type)).collect();
    let none = channel::PayloadType::Other(0);
    assert_eq!(
        kinds,
        [
            ("acknowledge", none),
            ("acknowledge", none),
            ("output_stream_data", channel::PayloadType::HandshakeComplete)
        ]
    );
}

/// A client that refuses the session's type gets no program.
#[test]
fn a_refused_handshake_starts_nothing() {
    let mut chance = SeededEntropy::new(9);
    let now = Timestamp::from_millis(1);
    let mut agent = AgentSide::new("s");
    let start = channel::control(MessageType::StartPublication, Vec::new(), now, &mut chance);
    agent.receive(&start, now, &mut chance).unwrap();
    let message = Message {
        message_type: MessageType::InputStreamData,
        created: now,
        sequence: 0,
        flags: 0,
        id: channel::MessageId::random(&mut chance),
        payload_type: channel::PayloadType::HandshakeResponse,
        payload: br#"{"ProcessedClientActions":[]}"#.to_vec(),
    };
    let events = agent.receive(&message.encode(), now, &mut chance).unwrap();
    assert!(matches!(&events[..], [AgentEvent::Refused(_)]), "{events:?}");
}
