//! Runs the real binary, each test in folders of its own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A place to run `host` in: its own runtime folder, so that nodes of other tests are not in the way. Compiled code is shared between tests.
pub struct Place {
    pub folder: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// The last line of standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        let last = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.command_under(&[], args)
    }

    /// Started by another command, such as `ip netns exec NAME`.
    pub fn command_under(&self, starter: &[&str], args: &[&str]) -> Command {
        let words = [starter, &[env!("CARGO_BIN_EXE_host")], args].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
            .env_remove("HOST_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn host(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    /// A node in the background, once it answers.
    pub fn node(&self, args: &[&str]) -> Running {
        let child = self.command(&[&["run"], args].concat()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while self.host(&["status"]).code != Some(0) {
            assert!(Instant::now() < until, "the node does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Running { child: Some(child) }
    }
}

/// A node in the background; killed if the test fails before it ends well.
pub struct Running {
    child: Option<Child>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends it a signal and waits for its end.
    pub fn end(mut self, signal: &str) -> Ended {
        let child = self.child.take().unwrap();
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        child.wait_with_output().unwrap().into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
