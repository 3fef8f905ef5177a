//! The workloads of a comparison: as they are written on the command line, completed so that every run does the same.

use gc_lab::WorkloadSpec;
use gc_lab::bench::model::Workload;

use crate::Usage;
use crate::bench::child::times_final_cycles;
use crate::bench::subjects::unique;

/// Operations of a churn without an end of its own, and the same with `--quick`.
const CHURN_OPERATIONS: [&str; 2] = ["operations=4M", "operations=800k"];

/// Reads the texts and gives each workload a name of its own. `nodes` is how many nodes they are to run on, if that was said.
pub(crate) fn read(texts: &[String], quick: bool, nodes: Option<u32>) -> Result<Vec<Workload>, Usage> {
    let mut workloads: Vec<Workload> = Vec::new();
    for text in texts {
        let spec = parse(text)?;
        let text = spread(complete(text, &spec, quick), &spec, nodes)?;
        let spec = parse(&text)?;
        workloads.push(Workload {
            label: unique(spec.name(), workloads.iter().map(|other| other.label.as_str())),
            stresses: spec.stresses().into(),
            times_final_cycles: times_final_cycles(&spec),
            text,
            ..Workload::default()
        });
    }
    Ok(workloads)
}

fn parse(text: &str) -> Result<WorkloadSpec, Usage> {
    text.parse().map_err(|error: gc_lab::SpecError| Usage(error.to_string()))
}

/// How many nodes a workload runs on, which was read before.
pub(crate) fn nodes(text: &str) -> u32 {
    text.parse::<WorkloadSpec>().map_or(1, |spec| spec.nodes())
}

/// On as many nodes as were asked for.
fn spread(text: String, spec: &WorkloadSpec, nodes: Option<u32>) -> Result<String, Usage> {
    match nodes {
        Some(nodes) if matches!(spec, WorkloadSpec::RandomWorkers(_)) => {
            Ok(with(&text, &format!("nodes={nodes}")))
        }
        None | Some(1) => Ok(text),
        Some(nodes) => Err(Usage(format!(
            "--nodes {nodes}: {} runs on one node; give --workload random-workers, which is work for a cluster, or leave out --nodes",
            spec.name()
        ))),
    }
}

/// With an end where there is none.
fn complete(text: &str, spec: &WorkloadSpec, quick: bool) -> String {
    match spec {
        WorkloadSpec::Churn(churn) if churn.duration.is_none() && churn.operations.is_none() => {
            with(text, CHURN_OPERATIONS[usize::from(quick)])
        }
        _ => text.to_owned(),
    }
}

/// The same workload with less to do, where it knows of such. What a file says cannot be cut down, and what is added to its path would be another path.
pub(crate) fn smaller(text: &str) -> Option<String> {
    let from_file = ["graph:", "trace:", "git:", "git-history:"].iter().any(|name| text.starts_with(name));
    if from_file {
        return None;
    }
    let smaller = with(text, "quick=true");
    smaller.parse::<WorkloadSpec>().is_ok().then_some(smaller)
}

fn with(text: &str, option: &str) -> String {
    let separator = match text.rsplit_once('?') {
        Some((_, "")) => "",
        Some(_) => "&",
        None => "?",
    };
    format!("{text}{separator}{option}")
}

#[cfg(test)]
mod tests {

    #[test]
    fn every_run_has_an_end_and_does_the_same() {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let read = |list: &[&str], quick| -> Vec<String> {
            super::read(&texts(list), quick, None)
                .unwrap()
                .into_iter()
                .map(|workload| workload.text)
                .collect()
        };
        assert_eq!(
            read(&["churn", "churn?live=1k", "churn?seconds=3", "gcbench"], false),
            ["churn?operations=4M", "churn?live=1k&operations=4M", "churn?seconds=3", "gcbench"]
        );
        assert_eq!(read(&["gcbench", "churn"], true), ["gcbench", "churn?operations=800k"]);
        assert_eq!(super::smaller("gcbench?threads=2").as_deref(), Some("gcbench?threads=2&quick=true"));
        for from_file in ["graph:x", "trace:x", "git:.", "git-history:.?keep=3"] {
            assert_eq!(super::smaller(from_file), None);
        }
        let two = super::read(&texts(&["churn", "churn?live=1k"]), false, Some(1)).unwrap();
        assert_eq!((two[0].label.as_str(), two[1].label.as_str()), ("churn", "churn-2"));
        let juggling = super::read(&texts(&["juggling"]), false, None);
        assert!(juggling.unwrap_err().to_string().contains("juggling"));
    }

    #[test]
    fn nodes_are_for_work_that_several_do() {
        let read = |text: &str, nodes| super::read(&[text.to_owned()], false, nodes);
        assert_eq!(read("random-workers", Some(4)).unwrap()[0].text, "random-workers?nodes=4");
        assert_eq!(super::nodes("random-workers?nodes=4"), 4);
        assert_eq!((super::nodes("random-workers"), super::nodes("churn")), (3, 1));
        for (text, nodes, says) in [
            ("random-workers", 0, "nodes=0 cannot be: write 2 to 64 nodes"),
            ("random-workers", 1, "nodes=1 cannot be"),
            ("random-workers", 65, "nodes=65 cannot be"),
            ("random-workers?nodes=3", 3, "given twice"),
            ("churn", 3, "churn runs on one node"),
            ("gcbench", 0, "gcbench runs on one node"),
        ] {
            let error = read(text, Some(nodes)).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
