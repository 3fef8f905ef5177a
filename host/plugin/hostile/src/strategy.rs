//! The strategy: every call looks at the mode.

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use std::cell::RefCell;

use crate::window;
use exports::gc::strategy::strategy::Guest;
#[cfg(not(feature = "no-window"))]
use exports::gc::strategy::window::{Columns, Guest as WindowGuest};
use gc::strategy::heap::{self, Bitmap};
use gc::strategy::telemetry::{self, Level};
use gc::strategy::types::{
    Cell, Completeness, CycleInfo, Description, Error, HeapShape, Need, OptionSpec, OptionValue, Outcome,
    Progress, Verdict,
};

#[cfg(not(any(feature = "no-window", feature = "contract-0-1-0")))]
wit_bindgen::generate!({ path: "../../../wit", world: "windowed-collector" });
#[cfg(feature = "no-window")]
wit_bindgen::generate!({ path: "../../../wit", world: "collector" });
#[cfg(feature = "contract-0-1-0")]
wit_bindgen::generate!({ path: "wit-0.1.0", world: "windowed-collector" });

/// The tests overwrite what follows the colon.
#[used]
static MODE: [u8; 48] = *b"HOSTILE-MODE:honest                             ";

/// Cycles that were begun.
static CYCLES: AtomicU32 = AtomicU32::new(0);

/// What to do wrong. `later:MODE` is `honest` in the first cycle, which is a rehearsal most often.
pub(crate) fn mode() -> String {
    let bytes: Vec<u8> = (13..48).map(|at| unsafe { core::ptr::read_volatile(&MODE[at]) }).collect();
    let mode = String::from_utf8_lossy(&bytes).trim().to_owned();
    match mode.strip_prefix("later:") {
        Some(later) if CYCLES.load(Ordering::Relaxed) > 1 => later.to_owned(),
        Some(_) => "honest".to_owned(),
        None => mode,
    }
}

fn is(name: &str) -> bool {
    mode() == name
}

/// Whether a cell is marked.
#[cfg(not(feature = "contract-0-1-0"))]
pub(crate) fn is_marked(cell: Cell) -> bool {
    STATE.with_borrow(|state| state.marks[cell as usize / 64] >> (cell % 64) & 1 == 1)
}

#[derive(Default)]
struct State {
    capacity: u32,
    work: Vec<Cell>,
    marks: Vec<u64>,
    seen: Vec<u32>,
    /// Cells that the step has visited.
    visited: u32,
}

thread_local!(static STATE: RefCell<State> = RefCell::default());

struct Hostile;

impl Guest for Hostile {
    fn describe() -> Description {
        match mode().as_str() {
            "describe-loop" => endless(),
            "describe-trap" => core::arch::wasm32::unreachable(),
            "describe-grow" => hoard(),
            _ => {}
        }
        reach("describe", 0);
        described()
    }

    fn configure(options: Vec<(String, OptionValue)>, shape: HeapShape) -> Result<(), Error> {
        if is("configure-error") {
            return Err(Error::InvalidOption("speed: must be even".to_owned()));
        }
        if is("configure-loop") {
            endless();
        }
        if is("configure-echo") {
            let listed: Vec<_> = options.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            return Err(Error::Other(listed.join(" ")));
        }
        STATE.with_borrow_mut(|state| state.capacity = shape.capacity);
        Ok(())
    }

    fn begin(_cycle: CycleInfo) -> Result<(), Error> {
        CYCLES.fetch_add(1, Ordering::Relaxed);
        STATE.with_borrow_mut(|state| {
            state.work.clear();
            state.seen.clear();
            state.marks = vec![0; state.capacity as usize / 64];
        });
        reach("begin", 0);
        match mode().as_str() {
            "begin-error" => Err(Error::Other("no".repeat(10_000))),
            "begin-out-of-memory" => Err(Error::OutOfMemory),
            "begin-error-in-window" => Err(Error::Other(in_window(64))),
            _ => Ok(()),
        }
    }

    fn roots(cells: Vec<Cell>) {
        STATE.with_borrow_mut(|state| state.mark(&cells));
    }

    fn changed(changes: Vec<u32>) {
        STATE.with_borrow_mut(|state| state.seen.extend(changes));
    }

    fn retired(cells: Vec<Cell>, grace_epochs: Vec<u64>) {
        STATE.with_borrow_mut(|state| {
            state.seen.extend(cells);
            state.seen.extend(grace_epochs.iter().map(|epoch| *epoch as u32));
        });
    }

    fn shade(cells: Vec<Cell>) -> bool {
        STATE.with_borrow_mut(|state| {
            let before = state.work.len();
            state.mark(&cells);
            state.work.len() > before
        })
    }

    fn step(budget: u32) -> Result<Progress, Error> {
        misbehave()?;
        let idle = STATE.with_borrow_mut(|state| state.step(budget));
        if idle {
            reach("step", STATE.with_borrow(|state| state.capacity));
        }
        if is("slower") {
            dawdle(STATE.with_borrow(|state| state.visited));
        }
        Ok(if idle { Progress::Idle } else { Progress::More })
    }

    fn finish() -> Result<Verdict, Error> {
        let (marks, capacity) = STATE.with_borrow(|state| (state.marks.clone(), state.capacity));
        reach("finish", capacity);
        match mode().as_str() {
            "finish-error" => Err(Error::Other("cannot say".to_owned())),
            "finish-trap" => core::arch::wasm32::unreachable(),
            "bitmap-short" => Ok(Verdict::Survivors(marks[1..].to_vec())),
            "bitmap-long" => Ok(Verdict::Survivors([&marks[..], &[0]].concat())),
            "bitmap-empty" => Ok(Verdict::Survivors(Vec::new())),
            "bitmap-zero" => Ok(Verdict::Survivors(vec![0; marks.len()])),
            "condemn-beyond" => Ok(Verdict::Condemned(vec![1, capacity])),
            "condemn-null" => Ok(Verdict::Condemned(vec![0])),
            "condemn-flood" => Ok(Verdict::Condemned(vec![1; capacity as usize * 16])),
            "condemn-often" => Ok(Verdict::Condemned(vec![1; capacity as usize])),
            "condemn-some" => Ok(Verdict::Condemned(vec![1, 2, 3])),
            "condemn-everything" => Ok(Verdict::Condemned((1..capacity).collect())),
            "bitmap-in-window" => Ok(Verdict::Survivors(stolen_bitmap(marks.len()))),
            "echo" => Ok(Verdict::Condemned(STATE.with_borrow(|state| state.seen.clone()))),
            "keep-all" => Ok(Verdict::KeepAll),
            _ => Ok(Verdict::Survivors(marks)),
        }
    }

    fn settled(_outcome: Outcome) {}
}

#[cfg(not(feature = "no-window"))]
impl WindowGuest for Hostile {
    fn reserve(bytes: u32) -> u32 {
        match mode().as_str() {
            "reserve-zero" => 0,
            "reserve-unaligned" => window::grow(bytes + 65536) + 4096,
            // Where the statics, the stack and the allocator's data are.
            "reserve-live-data" => 65536,
            "reserve-old-and-new" => window::grow(bytes) - 65536,
            "reserve-short" => window::grow(bytes / 2),
            "reserve-outside" => window::grow(bytes) + 65536,
            "reserve-top" => 0xffff_0000,
            "reserve-without-growing" => 0x1000_0000,
            "reserve-trap" => core::arch::wasm32::unreachable(),
            "reserve-loop" => endless(),
            _ => window::grow(bytes),
        }
    }

    fn attached(columns: Columns) {
        window::CELLS.store(columns.cells, Ordering::Relaxed);
        window::ALLOCATED.store(columns.allocated, Ordering::Relaxed);
        window::YOUNG.store(columns.young, Ordering::Relaxed);
        if is("attached-store") {
            window::store();
        }
    }
}

export!(Hostile);

/// Tells what it has reached on other nodes, in the modes in which it takes part.
fn reach(call: &str, capacity: u32) {
    #[cfg(not(feature = "contract-0-1-0"))]
    crate::reach::tell(call, capacity);
    #[cfg(feature = "contract-0-1-0")]
    let _ = (call, capacity);
}

impl State {
    fn mark(&mut self, cells: &[Cell]) {
        for &cell in cells {
            let (word, bit) = (cell as usize / 64, 1_u64 << (cell % 64));
            if cell != 0 && self.marks[word] & bit == 0 {
                self.marks[word] |= bit;
                self.work.push(cell);
            }
        }
    }

    fn step(&mut self, budget: u32) -> bool {
        self.visited = 0;
        for _ in 0..budget {
            self.visited += 1;
            let Some(cell) = self.work.pop() else { return true };
            let references = if window::CELLS.load(Ordering::Relaxed) != 0 {
                window::cell(cell).to_vec()
            } else {
                heap::read_cells(&[cell])
            };
            self.mark(&references);
        }
        self.work.is_empty()
    }
}

/// Does nothing for a few hundredths of the time that visiting so many cells takes: for the lab, which must find that out.
fn dawdle(visited: u32) {
    for cell in 0..visited * 2 {
        black_box(cell);
    }
}

/// What the step of this mode does before it works.
fn misbehave() -> Result<(), Error> {
    match mode().as_str() {
        "step-trap" => core::arch::wasm32::unreachable(),
        "step-panic" => panic!("this strategy gives up on purpose"),
        "step-loop" => endless(),
        "step-loop-calling-the-host" => loop {
            telemetry::log(Level::Debug, "still here");
        },
        "step-error" => return Err(Error::Other("cannot go on".to_owned())),
        "step-recursion" => drop(black_box(deeper(1))),
        "step-big-frames" => drop(black_box(big_frames(1))),
        "step-grow" => hoard(),
        "step-grow-quietly" => while window::grow(1 << 20) != 0 {},
        "step-window-store" => window::store(),
        "step-window-fill" => window::fill(3 * 4096),
        "step-window-copy" => window::copy(3 * 4096),
        "step-steal" => {
            let at = window::CELLS.load(Ordering::Relaxed) as usize + 4096;
            window::STEAL.store(at, Ordering::Relaxed);
            heap::read_range(0, 64);
        }
        "step-read-beyond" => drop(heap::read_cells(&[u32::MAX])),
        "step-read-too-many" => drop(heap::read_range(0, 65_537)),
        "step-read-all" => read_all(),
        "step-log" => (0..1000).for_each(|line| telemetry::log(Level::Info, &format!("line {line}"))),
        "step-log-long" => telemetry::log(Level::Warn, &"\u{1b}[31m é".repeat(100_000)),
        "step-log-in-window" => telemetry::log(Level::Warn, &in_window(64)),
        "step-clock" => drop(black_box(std::time::SystemTime::now())),
        "step-random" => drop(black_box(std::collections::HashMap::<u32, u32>::new())),
        _ => {}
    }
    Ok(())
}

/// Reads the heap through every call of the portable path; leaves what it saw for the verdict of the mode `echo`.
fn read_all() {
    let capacity = STATE.with_borrow(|state| state.capacity);
    let all = heap::read_range(0, capacity);
    let tail = heap::read_range(capacity - 1, 2);
    let two = heap::read_cells(&[2, 1]);
    let words: Vec<_> = [Bitmap::Allocated, Bitmap::Young, Bitmap::Stub]
        .into_iter()
        .map(|which| heap::read_bitmap(which, 0, u32::from(u16::MAX)))
        .collect();
    assert_eq!(all.len(), capacity as usize * 4);
    assert_eq!(tail.len(), 4);
    assert_eq!(two, [&all[8..12], &all[4..8]].concat());
    assert!(words.iter().all(|words| words.len() == capacity as usize / 64));
    if window::CELLS.load(Ordering::Relaxed) != 0 {
        for (column, words) in [&window::ALLOCATED, &window::YOUNG].into_iter().zip(&words) {
            assert!(words.iter().enumerate().all(|(at, word)| *word == window::word(column, at)));
        }
        assert!((0..capacity).all(|cell| window::cell(cell) == all[cell as usize * 4..][..4]));
    }
    assert!(heap::read_range(capacity + 7, 1).is_empty());
    assert!(heap::read_bitmap(Bitmap::Young, capacity, 1).is_empty());
    telemetry::log(Level::Info, "read everything");
}

fn endless() -> ! {
    let mut turn = 0_u64;
    loop {
        turn = black_box(turn + 1);
    }
}

#[allow(unconditional_recursion, reason = "on purpose")]
fn deeper(depth: u64) -> u64 {
    // No accumulator can replace the calls, and nothing lies on the stack in linear memory: the engine's own stack ends first.
    deeper(depth + 1).rotate_left(3) ^ depth
}

#[allow(unconditional_recursion, reason = "on purpose")]
fn big_frames(depth: u64) -> u64 {
    black_box([depth; 512]);
    big_frames(black_box(depth + 1)) + 1
}

/// Takes memory until there is none.
fn hoard() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// A string whose bytes lie in the window.
fn in_window(bytes: usize) -> String {
    let at = window::CELLS.load(Ordering::Relaxed) as usize;
    unsafe { String::from_raw_parts(at as *mut u8, bytes, bytes) }
}

fn stolen_bitmap(words: usize) -> Vec<u64> {
    let at = window::CELLS.load(Ordering::Relaxed) as usize;
    unsafe { Vec::from_raw_parts(at as *mut u64, words, words) }
}

fn described() -> Description {
    let option =
        |name: &str, default| OptionSpec { name: name.to_owned(), doc: format!("The {name}."), default };
    let mut it = Description {
        name: "hostile".to_owned(),
        version: "1.2.3".to_owned(),
        summary: "Misbehaves.".to_owned(),
        needs: vec![Need::ChangeLog, Need::Retired],
        completeness: Completeness::All(1),
        options: vec![
            option("eager", OptionValue::Boolean(true)),
            option("depth", OptionValue::Integer(7)),
            option("ratio", OptionValue::Number(0.5)),
            option("label", OptionValue::Text("x".to_owned())),
        ],
    };
    if mode().starts_with("reach") {
        it.needs.push(Need::Other("cluster-mark".to_owned()));
    }
    match mode().as_str() {
        "describe-long-name" => it.name = "x".repeat(1 << 20),
        "describe-huge" => it.summary = "x".repeat(64 << 20),
        "describe-bad-name" => it.name = "Hostile\u{1b}[31m".to_owned(),
        "describe-empty-name" => it.name.clear(),
        "describe-control" => it.summary = "two\nlines\u{7}".to_owned(),
        "describe-many" => {
            it.options = (0..100_000).map(|i| option(&format!("o{i}"), OptionValue::Integer(i))).collect()
        }
        "describe-twice" => it.options.push(option("depth", OptionValue::Integer(8))),
        "describe-option-name" => it.options.push(option("a=b", OptionValue::Integer(8))),
        "describe-nan" => it.options.push(option("nan", OptionValue::Number(f64::NAN))),
        "describe-need" => it.needs.push(Need::Other("telepathy".to_owned())),
        "describe-long-promise" => it.completeness = Completeness::All(u32::MAX),
        "describe-many-needs" => it.needs = vec![Need::Retired; 1000],
        _ => {}
    }
    it
}
