//! Nodes whose packets are late, overtake each other, come twice, damaged or not at all, or are too many for the way: nothing that is reachable goes, and
//! everything else does.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::nodes::{Cluster, member};
use crate::relay::{Figures, Relay, Weather};

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

fn load(cluster: &Cluster) -> String {
    format!("git:{}?place=hash", cluster.place.path("repository").display())
}

/// What has become of everything, whichever way it went.
fn all_ways(cluster: &Cluster) -> Vec<Figures> {
    let ways = NAMES.iter().flat_map(|from| NAMES.iter().map(move |to| (from, to)));
    ways.filter(|(from, to)| from != to).map(|(from, to)| cluster.relay().figures(from, to)).collect()
}

/// Runs three nodes in this weather to their end, and compares what they have reclaimed with what git names.
fn collected_in(weather: Weather, strategy: &str, commits: u32) -> Vec<Figures> {
    let cluster = Cluster::relayed(&NAMES, weather, 3);
    let unreachable = cluster.repository(commits).unreachable();
    let mut nodes = cluster.three(&["--strategy", strategy, "--load", &load(&cluster), "--json"]);
    // Nobody knows a way around the relay.
    let status = cluster.await_members("n1", 3);
    for (node, name) in nodes.iter().zip(NAMES) {
        let member = member(&status, name);
        assert_eq!(
            member["address"],
            cluster.relay().address(name).to_string(),
            "{name} is at {}",
            node.address
        );
        let round_trip = member["round_trip_s"].as_f64();
        assert!(name == "n1" || round_trip >= Some(2.0 * weather.delay.as_secs_f64()), "{member}");
    }
    for node in &mut nodes {
        let status = node.ended();
        assert!(status.success(), "{} {:?}", node.name, node.said());
    }
    assert_eq!(cluster.reclaimed(&NAMES), unreachable);
    for name in NAMES {
        let printed = cluster.printed(name);
        let summary: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
        assert_eq!(summary["refused_verdicts"], 0, "{name}");
    }
    all_ways(&cluster)
}

#[test]
fn packets_are_late_overtake_each_other_and_come_twice_or_damaged() {
    let weather = Weather {
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(10),
        repeated: 0.1,
        damaged: 0.02,
        lost: 0.02,
        rate: None,
    };
    for (strategy, commits) in [("tracing", 40), ("refcount", 12)] {
        let ways = collected_in(weather, strategy, commits);
        // On each way something of everything.
        let all = |seen: fn(&Figures) -> u64| ways.iter().all(|way| seen(way) > 0);
        let everything =
            [all(|way| way.repeated), all(|way| way.damaged), all(|way| way.lost), all(|way| way.overtaken)];
        assert_eq!(everything, [true; 4], "{strategy}: {ways:?}");
    }
}

#[test]
fn there_is_little_room_between_nodes() {
    let rate = Some(8 << 10);
    let weather = Weather { delay: Duration::from_millis(20), rate, ..Weather::default() };
    let ways = collected_in(weather, "tracing", 40);
    assert!(ways.iter().any(|way| way.held_up > 0), "there was room enough: {ways:?}");
}

/// What came through a relay, and how.
struct Came {
    figures: Figures,
    /// The numbers that came as they were sent.
    whole: Vec<u64>,
    broken: u64,
    /// How long the fastest was on its way.
    fastest: Duration,
}

/// Sends the numbers up to one of them through a relay, one after the other.
fn sent_through(weather: Weather, seed: u64, count: u64) -> Came {
    let relay = Relay::new(&["n1", "n2"], weather, seed);
    let [one, two] = ["n1", "n2"].map(|name| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        relay.node_is_at(name, socket.local_addr().unwrap());
        socket
    });
    let way_back = relay.address("n1");
    let taker = std::thread::spawn(move || {
        let (mut came, mut bytes) = (Vec::new(), [0; 100]);
        while let Ok((length, from)) = two.recv_from(&mut bytes) {
            assert_eq!(from, way_back, "an answer would go past the relay");
            came.push((bytes[..length].to_vec(), Instant::now()));
        }
        came
    });
    let mut sent = Vec::new();
    for number in 0..count {
        sent.push(Instant::now());
        one.send_to(&number.to_le_bytes().repeat(8), relay.address("n2")).unwrap();
        while relay.figures("n1", "n2").taken <= number {
            assert!(sent[number as usize].elapsed() < Duration::from_secs(10), "{number} is not taken");
            std::thread::yield_now();
        }
    }
    let mut came = Came { figures: Figures::default(), whole: Vec::new(), broken: 0, fastest: Duration::MAX };
    for (bytes, at) in taker.join().unwrap() {
        let words: BTreeSet<&[u8]> = bytes.chunks(8).collect();
        if words.len() > 1 {
            came.broken += 1;
            continue;
        }
        let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        came.whole.push(number);
        came.fastest = came.fastest.min(at.duration_since(sent[number as usize]));
    }
    came.figures = relay.figures("n1", "n2");
    came
}

#[test]
fn the_relay_does_to_datagrams_what_it_is_told_and_the_same_for_the_same_seed() {
    let delay = Duration::from_millis(3);
    let weather = Weather { delay, jitter: delay, repeated: 0.2, damaged: 0.1, lost: 0.1, rate: None };
    let came = sent_through(weather, 7, 500);
    let figures = came.figures;
    for (share, count) in [(0.2, figures.repeated), (0.1, figures.damaged), (0.1, figures.lost)] {
        assert!((count as f64 / 500.0 - share).abs() < 0.06, "{share}: {figures:?}");
    }
    assert!(came.fastest >= delay, "{:?}", came.fastest);
    let is_late = |pair: &[u64]| pair[0] > pair[1];
    assert!(figures.overtaken > 20 && came.whole.windows(2).any(is_late), "{figures:?}");
    assert_eq!(came.whole.len() as u64 + came.broken, 500 - figures.lost + figures.repeated);
    assert!(came.broken >= figures.damaged);
    let distinct: BTreeSet<_> = came.whole.iter().collect();
    assert_eq!(distinct.len() as u64, 500 - figures.lost - figures.damaged);

    let drawn = |came: Came| Figures { overtaken: 0, ..came.figures };
    let drawn_here = Figures { overtaken: 0, ..figures };
    assert_eq!(drawn(sent_through(weather, 7, 500)), drawn_here);
    assert_ne!(drawn(sent_through(weather, 8, 500)), drawn_here);

    // 64 bytes each, 100 of them a second, half a second of which may wait.
    let narrow = Weather { rate: Some(64 * 100), ..Weather::default() };
    let came = sent_through(narrow, 7, 500);
    assert_eq!(came.whole.len() as u64, 500 - came.figures.crowded_out);
    assert!(came.figures.crowded_out > 0 && came.whole.len() >= 50, "{:?}", came.figures);
}
