//! The machine a table was measured on: printed above it, because no figure travels without it.

use std::fmt;
use std::fs;

use serde::Serialize;

/// What a reader needs to judge absolute figures. Fields that the system does not tell are "unknown".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Model name of the first CPU.
    pub cpu: String,
    /// Cores this process may use.
    pub core_count: usize,
    /// Kernel release.
    pub kernel: String,
    /// Setting of transparent huge pages: always, madvise or never.
    pub huge_pages: String,
    /// Memory of the machine, as the kernel prints it.
    pub memory: String,
    /// Load averages over 1, 5 and 15 minutes when the measuring began.
    pub load: String,
}

impl Machine {
    /// Looks at the machine this runs on.
    pub fn here() -> Self {
        let cpu_info = read("/proc/cpuinfo");
        let memory_info = read("/proc/meminfo");
        let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ");
        Self {
            cpu: field(&cpu_info, "model name"),
            core_count: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: known(read("/proc/sys/kernel/osrelease").trim()),
            huge_pages: known(chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled"))),
            memory: field(&memory_info, "MemTotal"),
            load: known(&load),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} cores, {}, Linux {}, huge pages {}, load {}",
            self.cpu, self.core_count, self.memory, self.kernel, self.huge_pages, self.load
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> String {
    let value = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name);
    known(value.map_or("", |(_, value)| value.trim()))
}

/// The word in brackets of a kernel setting such as `always [madvise] never`.
fn chosen(setting: &str) -> &str {
    setting.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(word, _)| word)
}

fn known(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_settings_are_found_or_unknown() {
        let text = "processor\t: 0\nmodel name\t: Some CPU: fast\nmodel name\t: other\n";
        assert_eq!(field(text, "model name"), "Some CPU: fast");
        assert_eq!(field(text, "MemTotal"), "unknown");
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert_eq!(chosen(""), "");
    }
}
