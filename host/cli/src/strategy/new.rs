//! `host strategy new`.
#[derive(clap::Args)]
pub(crate) struct Args {
    name: String,
}
pub(crate) fn run(_: &Args) -> anyhow::Result<()> {
    Ok(())
}
