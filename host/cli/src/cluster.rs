//! `host cluster`: who is a member, what is held for whom, and the operator's word on who is gone.

use clap::Subcommand;
use gc_node::{Answer, ClusterStatus, MemberRecord, Request};

use crate::connect::{Connection, unexpected};
use crate::output;
use crate::units::{bytes, count, nanoseconds};

/// Look at the cluster of the running node, and decide about its members.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show members, leases, references between nodes, and what is held for whom.
    Status(Status),
    /// Take a node that is gone for good out of the cluster: what only it held is let go.
    Exile(Exile),
}

#[derive(clap::Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub(crate) struct Status {
    /// Walk the heap, and say what would go if a member were gone, or if nothing were held for a reason
    #[arg(long)]
    retained: bool,
    #[command(flatten)]
    connection: Connection,
}

const STATUS_EXAMPLES: &str = "\
Examples:
  host cluster status
  host cluster status --retained
  host cluster status --json | jq '.members[] | select(.up | not) | .name'

Of each other node: whether there is a link to it, how sure it is that it is gone (phi: 1 is one false alarm in ten, 8 one in a hundred
million), our lease for its objects and its lease for ours, what it holds of ours, and what nobody but it holds. A link may be up
for some seconds after its node has gone: look at the leases.
Bytes are those of the objects that are held, not of what they lead to, and whether or not something here keeps them too. With --retained
it is said, too, what would go on this node; `host collect --dry-run --without n3` asks all nodes. Programs run meanwhile: it is as exact
as they are quiet.";

#[derive(clap::Args)]
#[command(after_help = EXILE_EXAMPLES)]
pub(crate) struct Exile {
    /// Its name, as `host cluster status` shows it
    #[arg(value_name = "NAME")]
    node: String,
    #[command(flatten)]
    connection: Connection,
}

const EXILE_EXAMPLES: &str = "\
Examples:
  host collect --dry-run --without n3    what the other nodes hold for it alone
  host cluster exile n3

A node that was exiled and still runs ends. It comes back, empty, when it is started again with its --state folder.";

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Status(args) => match args.connection.ask(&Request::Cluster { retained: args.retained })? {
            Answer::Cluster(status) if args.connection.json => output::json(&status),
            Answer::Cluster(status) => output::line(text(&status)),
            other => unexpected(&other),
        },
        Command::Exile(args) => match args.connection.ask(&Request::Exile { node: args.node.clone() })? {
            Answer::Exile(report) if args.connection.json => output::json(&report),
            Answer::Exile(report) => {
                output::line(format!("{} is out, as of membership {}", report.node, report.epoch))
            }
            other => unexpected(&other),
        },
    }
}

fn text(status: &ClusterStatus) -> String {
    let mut lines = vec![format!(
        "cluster    {}, membership {}, decided by {}",
        status.cluster,
        status.epoch,
        status.decided_by.as_deref().unwrap_or("nobody yet")
    )];
    lines.push(format!(
        "this node  {} (n{}), life {}, on {}{}",
        status.node,
        status.number,
        status.incarnation,
        status.address,
        if status.fenced { ", fenced: it reaches less than half of the members" } else { "" }
    ));
    lines.extend(status.trouble.iter().map(|trouble| format!("trouble    {trouble}")));
    let digest: String = status.strategy_digest.chars().take(8).collect();
    lines.push(format!("strategy   #{digest}, number {} of this cluster", status.strategy_generation));
    lines.push(format!(
        "references {} to others, {} holders of ours, {} under way",
        count(status.stubs),
        count(status.scions),
        count(status.pins)
    ));
    if status.waiting_for_room > 0 {
        let waiting = count(status.waiting_for_room);
        lines.push(format!("full heap  {waiting} messages with references wait for room"));
    }
    for held in status.held.iter().filter(|held| held.objects > 0) {
        let what = match held.reason.as_str() {
            "scion" => "held for other nodes",
            "pin" => "held for a copy that is under way",
            "absent" => "held for nodes that are away, and for nobody else",
            "leaving" => "held until all members know of an exile",
            other => other,
        };
        let retained = held
            .retained_bytes
            .map_or(String::new(), |retained| format!("; without that {} would go", bytes(retained)));
        lines.push(format!(
            "held       {} objects ({}{retained}): {what}",
            count(held.objects),
            bytes(held.bytes)
        ));
    }
    if let Some(cycle) = &status.last_cycle {
        lines.push(format!(
            "last cycle {} over all nodes: {}, in {}",
            cycle.cycle,
            cycle.ending,
            nanoseconds((cycle.duration_s * 1e9) as u64)
        ));
    }
    for (reason, times) in &status.refusals {
        lines.push(format!("refused    {}: {}", reason.replace('_', " "), count(*times)));
    }
    lines.extend(status.members.iter().map(member));
    lines.join("\n")
}

fn member(member: &MemberRecord) -> String {
    let name = format!("{} n{}.{}", member.name, member.number, member.incarnation);
    if member.me {
        return format!("member     {name:<20} {:<21} this node", member.address);
    }
    let link = match (member.up, member.round_trip_s) {
        (true, Some(seconds)) => format!("link up ({})", nanoseconds((seconds * 1e9) as u64)),
        (true, None) => "link up".into(),
        (false, _) => "DOWN".into(),
    };
    let suspected =
        member.suspected_s.map_or(String::new(), |seconds| format!(", suspected for {seconds:.0} s"));
    let unfounded = match member.unfounded {
        0 => String::new(),
        times => format!(", has said {} times of its references what cannot be", count(times)),
    };
    let retained = member
        .retained_bytes
        .map_or(String::new(), |retained| format!("; without it {} would go here", bytes(retained)));
    format!(
        "member     {name:<20} {:<21} {link}, phi {:.1}{suspected}, our lease {}, its lease {}, holds {} of ours ({}, {} alone{retained}), we hold {}{unfounded}",
        member.address,
        member.phi,
        member.lease,
        member.lease_given,
        count(member.scions),
        bytes(member.scion_bytes),
        bytes(member.only_bytes),
        count(member.stubs)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_must_see_is_said() {
        let status = ClusterStatus {
            cluster: "shop".into(),
            fenced: true,
            trouble: Some("the seat is away".into()),
            members: vec![
                MemberRecord { name: "n1".into(), me: true, ..MemberRecord::default() },
                MemberRecord {
                    name: "n3".into(),
                    phi: 12.5,
                    suspected_s: Some(61.0),
                    lease: "lapsed".into(),
                    only_bytes: 1 << 10,
                    unfounded: 7,
                    retained_bytes: Some(3 << 20),
                    ..MemberRecord::default()
                },
            ],
            ..ClusterStatus::default()
        };
        let text = text(&status);
        for word in
            ["shop", "nobody yet", "fenced", "the seat is away", "DOWN", "phi 12.5", "61 s", "lease lapsed"]
        {
            assert!(text.contains(word), "{word}: {text}");
        }
        for part in ["(0 B, 1.0 KiB alone; without it 3.0 MiB would go here)", "has said 7 times"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
