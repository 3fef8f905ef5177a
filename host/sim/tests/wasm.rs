//! The strategies as WebAssembly, in the same worlds. `cargo test -p gc-sim --features wasm --test wasm`.

use gc_sim::{Settings, Stats, World, strategies};

#[test]
fn strategies_as_webassembly_lose_nothing_and_leave_nothing() {
    let mut sum = Stats::default();
    for seed in 0..20 {
        for settings in [Settings::rough(seed), Settings::rough(seed).cyclic(), Settings::calm(seed).cyclic()]
        {
            let settings = Settings { make: strategies::wasm, ..settings };
            sum += &World::new(settings).run().unwrap_or_else(|wrong| panic!("{wrong}"));
        }
    }
    println!("{sum:?}");
    assert!(sum.swept_cells > 100 && sum.condemned > 1000, "{sum:?}");
}

#[test]
fn a_component_and_its_native_twin_make_the_same_run() {
    for seed in 0..6 {
        let run = |make| World::new(Settings { make, ..Settings::rough(seed).cyclic() }).run();
        assert_eq!(run(strategies::wasm), run(strategies::native), "seed {seed}");
    }
}
