//! The configuration of a log router, in Fluent Bit's or Fluentd's words: inputs, filters, what the
//! user includes, outputs, in this order.
//! <https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/classic-mode/configuration-file>
//! <https://docs.fluentd.org/configuration/config-file>

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Refusal;
use super::firelens::PORT;

/// Where the router makes its socket.
const SOCKET: &str = "/var/run/fluent.sock";

/// What a router without a limit of its own keeps in memory, in MB.
const BUFFER: i32 = 25;

/// Where health checks of a Fluent Bit ask, and the tag of what they say.
const HEALTH: (&str, u16) = ("firelens-healthcheck", 8877);

/// Whose words a configuration is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    FluentBit,
    Fluentd,
}

/// Where one container's output goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    pub(super) container: String,
    /// The output's name; without one the included configuration has it.
    pub(super) output: Option<String>,
    /// Lines that do not match are dropped.
    pub(super) include: Option<String>,
    /// Lines that match are dropped.
    pub(super) exclude: Option<String>,
    pub(super) options: BTreeMap<String, String>,
}

/// A whole configuration.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) syntax: Syntax,
    /// Whether programs reach it by an address too.
    pub(super) on_bridge: bool,
    /// The router's memory; zero if that is not limited.
    pub(super) memory_mib: i32,
    /// Added to every record.
    pub(super) fields: Vec<(&'static str, String)>,
    /// A file that is included.
    pub(super) include: Option<String>,
    pub(super) routes: Vec<Route>,
}

impl Syntax {
    /// Where the image expects its configuration.
    pub(super) const fn config(self) -> &'static str {
        match self {
            Self::FluentBit => "/fluent-bit/etc/fluent-bit.conf",
            Self::Fluentd => "/fluentd/etc/fluent.conf",
        }
    }

    /// Where a configuration from S3 goes.
    pub(super) const fn external(self) -> &'static str {
        match self {
            Self::FluentBit => "/fluent-bit/etc/external.conf",
            Self::Fluentd => "/fluentd/etc/external.conf",
        }
    }

    /// The option that names the output.
    pub(super) const fn output_key(self) -> &'static str {
        match self {
            Self::FluentBit => "Name",
            Self::Fluentd => "@type",
        }
    }

    /// A variable of the environment as a value.
    pub(super) fn variable(self, name: &str) -> String {
        match self {
            Self::FluentBit => format!("${{{name}}}"),
            Self::Fluentd => format!("\"#{{ENV['{name}']}}\""),
        }
    }

    const fn everything(self) -> &'static str {
        match self {
            Self::FluentBit => "*",
            Self::Fluentd => "**",
        }
    }

    /// Which records are a container's.
    fn of(self, container: &str) -> String {
        format!("{container}-firelens{}", self.everything())
    }
}

impl Config {
    /// The text.
    ///
    /// # Errors
    /// A value that would end its line and begin another.
    pub(super) fn text(&self) -> Result<String, Refusal> {
        for route in &self.routes {
            let given = [("include-pattern", &route.include), ("exclude-pattern", &route.exclude)];
            let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let name = (self.syntax.output_key(), route.output.as_ref());
            let name = name.1.map(|value| (name.0, value));
            let options = route.options.iter().map(|(name, value)| (name.as_str(), value));
            for (name, value) in given.chain(name).chain(options) {
                if name.contains(['\n', '\r', ' ', '\t']) || value.contains(['\n', '\r']) {
                    let container = &route.container;
                    return Err(Refusal::new(
                        format!("container {container}: logConfiguration.options {name}"),
                        "a router's option is one line, and its name one word",
                    ));
                }
            }
        }
        Ok(match self.syntax {
            Syntax::FluentBit => self.fluent_bit(),
            Syntax::Fluentd => self.fluentd(),
        })
    }

    fn fluent_bit(&self) -> String {
        let mut text = Sections::default();
        let buffer = match self.memory_mib / 2 {
            half if half > 0 => half,
            _ => BUFFER,
        };
        let buffer = format!("{buffer}MB");
        text.bit(
            "INPUT",
            &[("Name", "forward"), ("Mem_Buf_Limit", &buffer), ("unix_path", SOCKET)],
        );
        let (tag, port) = (HEALTH.0, HEALTH.1.to_string());
        if self.on_bridge {
            let own = PORT.to_string();
            text.bit("INPUT", &[("Name", "forward"), ("Listen", "0.0.0.0"), ("Port", &own)]);
            text.bit(
                "INPUT",
                &[("Name", "tcp"), ("Tag", tag), ("Listen", "127.0.0.1"), ("Port", &port)],
            );
        }
        for route in &self.routes {
            let of = self.syntax.of(&route.container);
            for (word, pattern) in [("Regex", &route.include), ("Exclude", &route.exclude)] {
                let Some(pattern) = pattern else { continue };
                let pattern = format!("log {pattern}");
                text.bit("FILTER", &[("Name", "grep"), ("Match", &of), (word, &pattern)]);
            }
        }
        if !self.fields.is_empty() {
            let records: Vec<String> =
                self.fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let mut lines = vec![("Name", "record_modifier"), ("Match", self.syntax.everything())];
            lines.extend(records.iter().map(|record| ("Record", record.as_str())));
            text.bit("FILTER", &lines);
        }
        if let Some(include) = &self.include {
            text.line(&format!("@INCLUDE {include}"));
        }
        if self.on_bridge {
            text.bit("OUTPUT", &[("Name", "null"), ("Match", tag)]);
        }
        for route in &self.routes {
            let Some(output) = &route.output else { continue };
            let of = self.syntax.of(&route.container);
            let mut lines = vec![("Name", output.as_str()), ("Match", of.as_str())];
            lines.extend(route.options.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            text.bit("OUTPUT", &lines);
        }
        text.0
    }

    fn fluentd(&self) -> String {
        let mut text = Sections::default();
        text.fluentd("source", "", &[("@type", "unix"), ("path", SOCKET)]);
        if self.on_bridge {
            let port = PORT.to_string();
            let lines = [("@type", "forward"), ("bind", "0.0.0.0"), ("port", &port)];
            text.fluentd("source", "", &lines);
        }
        for route in &self.routes {
            let of = self.syntax.of(&route.container);
            for (word, pattern) in [("regexp", &route.include), ("exclude", &route.exclude)] {
                let Some(pattern) = pattern else { continue };
                let inner =
                    format!("<{word}>\n        key log\n        pattern {pattern}\n    </{word}>");
                text.fluentd("filter", &of, &[("@type", "grep"), ("", &inner)]);
            }
        }
        if !self.fields.is_empty() {
            let mut inner = "<record>\n".to_owned();
            for (name, value) in &self.fields {
                _ = writeln!(inner, "        {name} {value}");
            }
            inner.push_str("    </record>");
            let lines = [("@type", "record_transformer"), ("", inner.as_str())];
            text.fluentd("filter", self.syntax.everything(), &lines);
        }
        if let Some(include) = &self.include {
            text.line(&format!("@include {include}"));
        }
        for route in &self.routes {
            let Some(output) = &route.output else { continue };
            let mut lines = vec![("@type", output.as_str())];
            lines.extend(route.options.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            text.fluentd("match", &self.syntax.of(&route.container), &lines);
        }
        text.0
    }
}

/// A configuration as it grows, an empty line between its parts.
#[derive(Debug, Default)]
struct Sections(String);

impl Sections {
    fn part(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    fn line(&mut self, line: &str) {
        self.part();
        _ = writeln!(self.0, "{line}");
    }

    fn bit(&mut self, kind: &str, lines: &[(&str, &str)]) {
        self.line(&format!("[{kind}]"));
        for (name, value) in lines {
            _ = writeln!(self.0, "    {name} {value}");
        }
    }

    fn fluentd(&mut self, kind: &str, of: &str, lines: &[(&str, &str)]) {
        let head = if of.is_empty() { format!("<{kind}>") } else { format!("<{kind} {of}>") };
        self.line(&head);
        for (name, value) in lines {
            let space = if name.is_empty() { "" } else { " " };
            _ = writeln!(self.0, "    {name}{space}{value}");
        }
        _ = writeln!(self.0, "</{kind}>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(syntax: Syntax) -> Config {
        let options = [("Host", "logs"), ("Port", "443"), ("token", &syntax.variable("token_0"))];
        Config {
            syntax,
            on_bridge: true,
            memory_mib: 0,
            fields: vec![
                ("ecs_cluster", "default".to_owned()),
                ("ecs_task_definition", "web:3".to_owned()),
            ],
            include: Some("/extra.conf".to_owned()),
            routes: vec![
                Route {
                    container: "web".to_owned(),
                    output: Some("http".to_owned()),
                    include: Some("^ERROR".to_owned()),
                    exclude: Some("health".to_owned()),
                    options: options.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
                },
                Route { container: "side".to_owned(), ..Route::default() },
            ],
        }
    }

    #[test]
    fn a_fluent_bits_configuration() {
        let golden = "\
[INPUT]
    Name forward
    Mem_Buf_Limit 25MB
    unix_path /var/run/fluent.sock

[INPUT]
    Name forward
    Listen 0.0.0.0
    Port 24224

[INPUT]
    Name tcp
    Tag firelens-healthcheck
    Listen 127.0.0.1
    Port 8877

[FILTER]
    Name grep
    Match web-firelens*
    Regex log ^ERROR

[FILTER]
    Name grep
    Match web-firelens*
    Exclude log health

[FILTER]
    Name record_modifier
    Match *
    Record ecs_cluster default
    Record ecs_task_definition web:3

@INCLUDE /extra.conf

[OUTPUT]
    Name null
    Match firelens-healthcheck

[OUTPUT]
    Name http
    Match web-firelens*
    Host logs
    Port 443
    token ${token_0}
";
        assert_eq!(config(Syntax::FluentBit).text().unwrap(), golden);
    }

    #[test]
    fn a_fluentds_configuration() {
        let golden = "\
<source>
    @type unix
    path /var/run/fluent.sock
</source>

<source>
    @type forward
    bind 0.0.0.0
    port 24224
</source>

<filter web-firelens**>
    @type grep
    <regexp>
        key log
        pattern ^ERROR
    </regexp>
</filter>

<filter web-firelens**>
    @type grep
    <exclude>
        key log
        pattern health
    </exclude>
</filter>

<filter **>
    @type record_transformer
    <record>
        ecs_cluster default
        ecs_task_definition web:3
    </record>
</filter>

@include /extra.conf

<match web-firelens**>
    @type http
    Host logs
    Port 443
    token \"#{ENV['token_0']}\"
</match>
";
        assert_eq!(config(Syntax::Fluentd).text().unwrap(), golden);
    }

    #[test]
    fn on_the_nodes_network_there_is_the_socket_alone() {
        let text = Config { on_bridge: false, ..config(Syntax::FluentBit) }.text().unwrap();
        assert!(!text.contains("24224") && !text.contains("healthcheck"), "{text}");
        let limited = Config { memory_mib: 100, ..config(Syntax::FluentBit) };
        assert!(limited.text().unwrap().contains("Mem_Buf_Limit 50MB"));
    }
}
