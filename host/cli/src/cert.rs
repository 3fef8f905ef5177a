//! `host cert`: certificates for development and small teams.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use gc_cluster::authority::{Authority, NODE_DAYS};
use serde::Serialize;

use crate::output;

/// Make the certificates that the nodes of a cluster show each other.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make an authority for a cluster.
    Init(Init),
    /// Make the certificate of a node: its folder goes to the machine of that node.
    Issue(Issue),
    /// Make certificates anew, before they end or when a key was seen. Running nodes read them within seconds.
    Rotate(Rotate),
}

#[derive(clap::Args)]
#[command(after_help = INIT_EXAMPLES)]
pub(crate) struct Init {
    /// Name of the cluster: lower case letters, digits and hyphens
    cluster: String,
    #[command(flatten)]
    place: Place,
}

const INIT_EXAMPLES: &str = "\
Examples:
  host cert init shop && host cert issue n1 n2 n3

The authority's key stays in certs/authority: who has it can let any node in.";

#[derive(clap::Args)]
pub(crate) struct Issue {
    /// Names of the nodes
    #[arg(required = true)]
    nodes: Vec<String>,
    /// How many days they are good for
    #[arg(long, default_value_t = NODE_DAYS, value_parser = clap::value_parser!(i64).range(1..=3650))]
    days: i64,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
#[command(after_help = ROTATE_EXAMPLES)]
pub(crate) struct Rotate {
    /// Names of the nodes [default: all that have had a certificate]
    nodes: Vec<String>,
    /// Make a new authority beside the present one, and let the nodes believe both. Their certificates stay: rotate them afterwards
    #[arg(long, conflicts_with_all = ["nodes", "days"])]
    authority: bool,
    /// How many days they are good for
    #[arg(long, default_value_t = NODE_DAYS, value_parser = clap::value_parser!(i64).range(1..=3650))]
    days: i64,
    #[command(flatten)]
    place: Place,
}

const ROTATE_EXAMPLES: &str = "\
Examples:
  host cert rotate                 fresh certificates and keys for all nodes
  host cert rotate n2              for one
  host cert rotate --authority     first step of replacing the authority; copy authority.pem to the nodes,
  host cert rotate                 then the second; a third, --authority again, forgets the old one";

#[derive(clap::Args)]
pub(crate) struct Place {
    /// The folder with the authority and the nodes' folders
    #[arg(long = "dir", value_name = "FOLDER", default_value = "certs")]
    folder: PathBuf,
    /// One JSON object per certificate
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init(&args),
        Command::Issue(args) => {
            let mut authority = Authority::open(&args.place.folder)?;
            issue(&mut authority, &args.nodes, args.days, &args.place)
        }
        Command::Rotate(args) => rotate(&args),
    }
}

#[derive(Serialize)]
struct Made<'a> {
    event: &'static str,
    cluster: &'a str,
    node: Option<&'a str>,
    number: Option<u32>,
    folder: &'a Path,
}

fn init(args: &Init) -> anyhow::Result<()> {
    let authority = Authority::init(&args.place.folder, &args.cluster)?;
    let folder = args.place.folder.join("authority");
    if args.place.json {
        let cluster = authority.cluster();
        return output::json(&Made {
            event: "authority",
            cluster,
            node: None,
            number: None,
            folder: &folder,
        });
    }
    output::line(format!(
        "{}: the authority of cluster {}; keep its key",
        folder.display(),
        authority.cluster()
    ))?;
    output::line(format!("next: host cert issue n1 n2 n3{}", elsewhere(&args.place.folder)))
}

fn elsewhere(folder: &Path) -> String {
    if folder == Path::new("certs") { String::new() } else { format!(" --dir {}", folder.display()) }
}

fn issue(authority: &mut Authority, nodes: &[String], days: i64, place: &Place) -> anyhow::Result<()> {
    for name in nodes {
        let folder = place.folder.join(name);
        let identity = authority.issue(name, &folder, days)?;
        if place.json {
            let (node, number) = (Some(name.as_str()), Some(identity.number));
            output::json(&Made {
                event: "certificate",
                cluster: &identity.cluster,
                node,
                number,
                folder: &folder,
            })?;
        } else {
            output::line(format!("{}: {identity}, good for {days} days", folder.display()))?;
        }
    }
    Ok(())
}

fn rotate(args: &Rotate) -> anyhow::Result<()> {
    let mut authority = Authority::open(&args.place.folder)?;
    let known: Vec<String> = authority.nodes().keys().cloned().collect();
    if !args.authority {
        let nodes = if args.nodes.is_empty() { &known } else { &args.nodes };
        return issue(&mut authority, nodes, args.days, &args.place);
    }
    authority.renew()?;
    for name in &known {
        let folder = args.place.folder.join(name);
        // A folder that was moved to the node's machine is not here any more.
        if folder.exists() {
            authority.bundle(&folder)?;
        }
    }
    let folder = args.place.folder.join("authority");
    if args.place.json {
        let cluster = authority.cluster();
        return output::json(&Made {
            event: "authority",
            cluster,
            node: None,
            number: None,
            folder: &folder,
        });
    }
    output::line(format!("{}: a new authority beside the old one", folder.display()))?;
    output::line(
        "next: copy authority.pem to the nodes that have their folders elsewhere, then host cert rotate",
    )
}
