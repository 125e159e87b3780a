//! Reading expressions: a hand-written descent, one function a rule.

use std::fmt;

use stdx::Timestamp;

use super::{LONGEST, MOST_NESTED, Match, Order, Pattern, Query, Test, Version};

/// Where an expression cannot be read, and what would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The character at which it went wrong, from 1.
    pub at: usize,
    /// What was expected there.
    pub expected: String,
    /// What stands there; none for the end.
    pub found: Option<String>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: expected {}, found ", self.at, self.expected)?;
        match &self.found {
            Some(found) => write!(f, "\"{found}\""),
            None => f.write_str("the end"),
        }
    }
}

impl std::error::Error for ParseError {}

/// What may stand as a subject.
const SUBJECTS: &str = "a subject (attribute:NAME, task:group, agentConnected, agentVersion, \
                        ec2InstanceId, registeredAt or runningTasksCount)";

/// Reads an expression.
pub fn parse(text: &str) -> Result<Query, ParseError> {
    let mut parser = Parser { text, at: 0, nested: 0 };
    if text.len() > LONGEST {
        return Err(parser.wants(0, format!("at most {LONGEST} bytes")));
    }
    let query = parser.any()?;
    if parser.rest().is_empty() {
        return Ok(query);
    }
    Err(parser.wants(parser.at, "and, or, or the end"))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nested: usize,
}

/// An operator as it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Order(Order),
    Exists,
    In,
    Like,
}

/// Every operator: how it is written, what it is, and whether it is negated. Of those that begin
/// alike the longer comes first.
const OPERATORS: &[(&str, Operator, bool)] = &[
    ("==", Operator::Order(Order::Equal), false),
    ("!=", Operator::Order(Order::Equal), true),
    ("=~", Operator::Like, false),
    ("!~", Operator::Like, true),
    (">=", Operator::Order(Order::GreaterEqual), false),
    ("<=", Operator::Order(Order::LessEqual), false),
    (">", Operator::Order(Order::Greater), false),
    ("<", Operator::Order(Order::Less), false),
    ("!exists", Operator::Exists, true),
    ("!in", Operator::In, true),
    ("equals", Operator::Order(Order::Equal), false),
    ("not_equals", Operator::Order(Order::Equal), true),
    ("greater_than_equal", Operator::Order(Order::GreaterEqual), false),
    ("greater_than", Operator::Order(Order::Greater), false),
    ("less_than_equal", Operator::Order(Order::LessEqual), false),
    ("less_than", Operator::Order(Order::Less), false),
    ("exists", Operator::Exists, false),
    ("not_exists", Operator::Exists, true),
    ("in", Operator::In, false),
    ("not_in", Operator::In, true),
    ("matches", Operator::Like, false),
    ("not_matches", Operator::Like, true),
];

const ORDERED: &str = "one of the operators ==, !=, >, >=, < and <=";
const TEXTUAL: &str = "one of the operators ==, !=, in, !in, =~ and !~";

impl<'a> Parser<'a> {
    /// `all (or all)*`
    fn any(&mut self) -> Result<Query, ParseError> {
        self.chain("||", "or", Self::all, Query::Or)
    }

    /// `one (and one)*`
    fn all(&mut self) -> Result<Query, ParseError> {
        self.chain("&&", "and", Self::one, Query::And)
    }

    fn chain(
        &mut self,
        sign: &str,
        word: &str,
        part: fn(&mut Self) -> Result<Query, ParseError>,
        join: fn(Vec<Query>) -> Query,
    ) -> Result<Query, ParseError> {
        let first = part(self)?;
        let mut all = vec![first];
        while self.takes(sign) || self.takes_word(word) {
            all.push(part(self)?);
        }
        Ok(if all.len() > 1 { join(all) } else { all.remove(0) })
    }

    /// `not one`, `(any)` or a single expression.
    fn one(&mut self) -> Result<Query, ParseError> {
        self.skip();
        let start = self.at;
        self.nested += 1;
        if self.nested > MOST_NESTED {
            return Err(self.wants(start, format!("at most {MOST_NESTED} levels of nesting")));
        }
        let one = if self.takes("!") || self.takes_word("not") {
            Query::Not(Box::new(self.one()?))
        } else if self.takes("(") {
            let inner = self.any()?;
            self.skip();
            if !self.takes(")") {
                return Err(self.wants(self.at, "and, or, or a closing parenthesis"));
            }
            inner
        } else {
            self.single()?
        };
        self.nested -= 1;
        Ok(one)
    }

    /// `subject operator [argument]`
    fn single(&mut self) -> Result<Query, ParseError> {
        self.skip();
        let start = self.at;
        let subject = self.subject();
        let known = subject.starts_with("attribute:")
            || ["task:group", "agentConnected", "agentVersion", "ec2InstanceId"].contains(&subject)
            || ["registeredAt", "runningTasksCount"].contains(&subject);
        if !known {
            return Err(self.wants(start, SUBJECTS));
        }
        if subject == "attribute:" {
            return Err(self.wants(self.at, "the name of an attribute"));
        }
        self.skip();
        let operator_at = self.at;
        let (operator, negated) = self.operator()?;
        let test = match subject {
            "task:group" => Test::TaskGroup(self.text(operator, operator_at, false, true)?),
            "agentConnected" => Test::AgentConnected(self.connected(operator, operator_at)?),
            "ec2InstanceId" => {
                Test::Ec2InstanceId(self.text(operator, operator_at, false, false)?)
            }
            "agentVersion" => {
                let order = self.order(operator, operator_at)?;
                let version = self.value(Version::parse, "a version such as 1.14.5")?;
                Test::AgentVersion(order, version)
            }
            "registeredAt" => {
                let order = self.order(operator, operator_at)?;
                let at = self.value(
                    instant,
                    "a date such as 2018-06-18, 2018-06-18T22:28:28 or 2018-06-18T22:28:28+00:00",
                )?;
                Test::RegisteredAt(order, at)
            }
            "runningTasksCount" => {
                let order = self.order(operator, operator_at)?;
                Test::RunningTasks(order, self.value(|text| text.parse().ok(), "a number")?)
            }
            attribute => {
                let name = attribute.strip_prefix("attribute:").unwrap_or(attribute).to_owned();
                Test::Attribute(name, self.text(operator, operator_at, true, true)?)
            }
        };
        Ok(Query::Test { test, negated })
    }

    /// Up to where no subject goes on.
    fn subject(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let ends = |letter: char| letter.is_whitespace() || "=!<>()[],'\"&|~".contains(letter);
        let subject = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += subject.len();
        subject
    }

    fn operator(&mut self) -> Result<(Operator, bool), ParseError> {
        let rest = &self.text[self.at..];
        for (spelled, operator, negated) in OPERATORS {
            let wordy = spelled.ends_with(|last: char| last.is_ascii_alphabetic());
            let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if let Some(after) = rest.strip_prefix(spelled)
                && !(wordy && goes_on(after))
            {
                self.at += spelled.len();
                return Ok((*operator, *negated));
            }
        }
        Err(self.wants(
            self.at,
            "an operator (==, !=, >, >=, <, <=, exists, !exists, in, !in, =~ or !~)",
        ))
    }

    fn order(&self, operator: Operator, at: usize) -> Result<Order, ParseError> {
        match operator {
            Operator::Order(order) => Ok(order),
            Operator::Exists | Operator::In | Operator::Like => Err(self.wants(at, ORDERED)),
        }
    }

    /// What is asked of a text. Some are not ordered, some always exist.
    fn text(
        &mut self,
        operator: Operator,
        at: usize,
        ordered: bool,
        optional: bool,
    ) -> Result<Match, ParseError> {
        Ok(match operator {
            Operator::Order(order) if ordered || order == Order::Equal => {
                Match::Compares(order, self.argument()?)
            }
            Operator::Exists if optional => Match::Exists,
            Operator::Order(_) | Operator::Exists => return Err(self.wants(at, TEXTUAL)),
            Operator::In => Match::In(self.list()?),
            Operator::Like => {
                self.skip();
                let start = self.at;
                let source = self.written(true)?;
                Match::Like(Pattern::new(&source).map_err(|wanted| self.wants(start, wanted))?)
            }
        })
    }

    /// `agentConnected` is `true` or `false`, so nothing else is worth to be compared with it.
    fn connected(&mut self, operator: Operator, at: usize) -> Result<Match, ParseError> {
        self.skip();
        let start = self.at;
        let wanted = self.text(operator, at, false, false)?;
        let boolean = |text: &String| text == "true" || text == "false";
        let fits = match &wanted {
            Match::Compares(_, text) => boolean(text),
            Match::In(list) => list.iter().all(boolean),
            Match::Exists | Match::Like(_) => true,
        };
        if fits { Ok(wanted) } else { Err(self.wants(start, "true or false")) }
    }

    /// An argument of a kind.
    fn value<T>(&mut self, read: impl Fn(&str) -> Option<T>, kind: &str) -> Result<T, ParseError> {
        self.skip();
        let start = self.at;
        let text = self.argument()?;
        read(&text).ok_or_else(|| self.wants(start, kind))
    }

    fn argument(&mut self) -> Result<String, ParseError> {
        self.skip();
        self.written(false)
    }

    /// `[argument, …]`
    fn list(&mut self) -> Result<Vec<String>, ParseError> {
        if !self.takes("[") {
            return Err(self.wants(self.at, "a list such as [a, b]"));
        }
        let mut list = vec![self.argument()?];
        loop {
            if self.takes("]") {
                return Ok(list);
            }
            if !self.takes(",") {
                return Err(self.wants(self.at, "a comma or ]"));
            }
            list.push(self.argument()?);
        }
    }

    /// A value in quotes, or one without up to where none goes on.
    fn written(&mut self, pattern: bool) -> Result<String, ParseError> {
        if let Some(quote) = self.rest().chars().next().filter(|c| *c == '\'' || *c == '"') {
            return self.quoted(quote);
        }
        let bare = bare(&self.text[self.at..], pattern);
        if bare.is_empty() {
            let what = if pattern { "a regular expression" } else { "a value" };
            return Err(self.wants(self.at, what));
        }
        self.at += bare.len();
        Ok(bare.to_owned())
    }

    /// In quotes a backslash escapes the quote and itself; before anything else it is one.
    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let mut value = String::new();
        let mut letters = self.text[self.at + 1..].char_indices().peekable();
        while let Some((offset, letter)) = letters.next() {
            if letter == quote {
                self.at += 1 + offset + 1;
                return Ok(value);
            }
            let escapes = |next: &(usize, char)| next.1 == quote || next.1 == '\\';
            match letters.next_if(|next| letter == '\\' && escapes(next)) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push(letter),
            }
        }
        Err(self.wants(self.text.len(), format!("a closing {quote}")))
    }

    fn rest(&mut self) -> &'a str {
        self.skip();
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// A word, which must end there.
    fn takes_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = rest.strip_prefix(word).is_some_and(|after| {
            after.starts_with(|c: char| c.is_whitespace() || c == '(' || c == '!')
        });
        if found {
            self.at += word.len();
        }
        found
    }

    fn wants(&self, at: usize, expected: impl Into<String>) -> ParseError {
        const SHOWN: usize = 24;
        let rest = &self.text[at..];
        let word: String =
            rest.chars().take_while(|letter| !letter.is_whitespace()).take(SHOWN).collect();
        ParseError {
            at: self.text[..at].chars().count() + 1,
            expected: expected.into(),
            found: (!rest.is_empty()).then_some(word),
        }
    }
}

/// A value without quotes. A pattern may have brackets, commas, and parentheses in pairs.
fn bare(rest: &str, pattern: bool) -> &str {
    let (mut open, mut class, mut escaped) = (0_u32, false, false);
    for (at, letter) in rest.char_indices() {
        let over = match letter {
            _ if letter.is_whitespace() => true,
            _ if escaped => false,
            '\'' | '"' => true,
            '&' | '|' if !class => rest[at..].starts_with("&&") || rest[at..].starts_with("||"),
            '(' | '[' | ']' | ',' if !pattern => true,
            ')' if !pattern => true,
            '(' if !class => {
                open += 1;
                false
            }
            ')' if !class => {
                let outside = open == 0;
                open = open.saturating_sub(1);
                outside
            }
            _ => false,
        };
        if over {
            return &rest[..at];
        }
        class = match letter {
            '[' if !escaped => true,
            ']' if !escaped => false,
            _ => class,
        };
        escaped = pattern && letter == '\\' && !escaped;
    }
    rest
}

/// The forms of dates that ECS documents; without a zone they are of UTC.
fn instant(text: &str) -> Option<Timestamp> {
    let whole = |text: &str| {
        // Only the documented forms: the reader of instants takes more.
        let bytes = text.as_bytes();
        (bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T')
            .then(|| Timestamp::parse(text))?
    };
    let at = match text.len() {
        10 => whole(&format!("{text}T00:00:00Z")),
        19 => whole(&format!("{text}Z")),
        _ => whole(text),
    }?;
    Some(Timestamp::from_millis(at.as_secs().saturating_mul(1000)))
}
