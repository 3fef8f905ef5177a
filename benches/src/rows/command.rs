//! Running the command of a single benchmark and reading what it prints.
//!
//! Each benchmark is a process of its own: it starts with a fresh heap, can be run by hand with the same figures, and takes nothing down with it.

use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;

use super::RowError;

/// Runs a command to its end and returns its standard output. What it says on standard error is shown as it comes.
///
/// # Errors
///
/// When it cannot be started or does not end well.
pub fn output(command: &mut Command) -> Result<String, RowError> {
    let shown = format!("{command:?}");
    let done = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let done = done.map_err(|source| RowError::Start { command: shown.clone(), source })?;
    if !done.status.success() {
        return Err(RowError::Failed { command: shown, message: format!("{}, see above", done.status) });
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Runs a command that prints one JSON value per line; lines that are not JSON objects (a build that speaks up) are passed over.
///
/// # Errors
///
/// When it fails, when an object is not a `T`, when there is none.
pub fn json_lines<T: DeserializeOwned>(command: &mut Command) -> Result<Vec<T>, RowError> {
    let shown = format!("{command:?}");
    let text = output(command)?;
    let report = |message: String| RowError::Report { report: format!("the output of {shown}"), message };
    let values: Result<Vec<T>, _> =
        text.lines().filter(|line| line.starts_with('{')).map(serde_json::from_str).collect();
    match values {
        Ok(values) if values.is_empty() => Err(report("it printed no JSON object".to_owned())),
        Ok(values) => Ok(values),
        Err(error) => Err(report(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn objects_are_read_and_other_lines_passed_over() {
        let read: Vec<BTreeMap<String, u32>> =
            json_lines(&mut shell("echo built; echo '{\"a\":1}'; echo '{\"a\":2}'")).unwrap();
        assert_eq!(read.iter().map(|object| object["a"]).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn what_goes_wrong_is_told_apart() {
        let error = |script: &str| json_lines::<BTreeMap<String, u32>>(&mut shell(script)).unwrap_err();
        assert!(matches!(error("exit 3"), RowError::Failed { .. }));
        assert!(matches!(error("echo nothing"), RowError::Report { .. }));
        assert!(matches!(error("echo '{\"a\":\"b\"}'"), RowError::Report { .. }));
        assert!(matches!(output(&mut Command::new("/no/such/program")), Err(RowError::Start { .. })));
    }
}
