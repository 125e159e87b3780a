//! The table as Markdown.

use super::{Member, Standing, Verdict, all};

/// The table as `docs/task-definition.md` shows it: one row a member.
pub fn table() -> String {
    let head =
        "| member | embedded engine | Docker Engine | AWS's agent | |\n|---|---|---|---|---|\n";
    std::iter::once(head.to_owned()).chain(all().map(row)).collect()
}

fn row(member: &Member) -> String {
    format!("| `{}` | {} | {} |\n", escape(member.path), cells(member), member.note)
}

fn cells(member: &Member) -> String {
    match member.verdict {
        Verdict::Refused(words) => {
            format!("refused: “{words}” | refused | refused")
        }
        Verdict::Accepted { embedded, docker, stock } => {
            [embedded, docker, stock].map(cell).join(" | ")
        }
    }
}

fn cell(standing: Standing) -> String {
    match standing {
        Standing::Honoured => "yes".to_owned(),
        Standing::Having(attribute) => format!("with `{attribute}`"),
        Standing::Lacking(attribute) => format!("no: it lacks `{attribute}`"),
        Standing::ControlPlane => "–".to_owned(),
    }
}

/// A bar would end a cell.
fn escape(path: &str) -> String {
    path.replace('|', "\\|")
}
